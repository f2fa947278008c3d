#include "kernels/convt.h"
#include "kernels/cpu.h"
#include "kernels/x86/direct.h"
#include "kernels/x86/direct_plan.h"

/* The same three passes for each instruction set; only the two run functions differ. */

static bool accepts(const sf_convt *c) { return c->dtype == SF_F32; }

static sf_status forward_avx512(const sf_convt *c, const sf_convt_fwd *a, void *scratch)
{
    sf_gather_convt_forward(c, a, sf_gather_direct_avx512, scratch);
    return SF_OK;
}

static sf_status backward_data_avx512(const sf_convt *c, const sf_convt_bwd_data *a, void *scratch)
{
    sf_gather_convt_data(c, a, sf_gather_direct_avx512, scratch);
    return SF_OK;
}

static sf_status backward_weight_avx512(const sf_convt *c, const sf_convt_bwd_weight *a,
                                        void *scratch)
{
    sf_gather_convt_weight(c, a, sf_wgrad_direct_avx512, scratch);
    return SF_OK;
}

static sf_status forward_avx2(const sf_convt *c, const sf_convt_fwd *a, void *scratch)
{
    sf_gather_convt_forward(c, a, sf_gather_direct_avx2, scratch);
    return SF_OK;
}

static sf_status backward_data_avx2(const sf_convt *c, const sf_convt_bwd_data *a, void *scratch)
{
    sf_gather_convt_data(c, a, sf_gather_direct_avx2, scratch);
    return SF_OK;
}

static sf_status backward_weight_avx2(const sf_convt *c, const sf_convt_bwd_weight *a,
                                      void *scratch)
{
    sf_gather_convt_weight(c, a, sf_wgrad_direct_avx2, scratch);
    return SF_OK;
}

const sf_convt_impl sf_convt_direct_avx512 = { .name = "direct_avx512",
                                               .isa = SF_ISA_AVX512,
                                               .accepts = accepts,
                                               .scratch = sf_direct_convt_scratch,
                                               .forward = forward_avx512,
                                               .backward_data = backward_data_avx512,
                                               .backward_weight = backward_weight_avx512 };
const sf_convt_impl sf_convt_direct_avx2 = { .name = "direct_avx2",
                                             .isa = SF_ISA_AVX2,
                                             .accepts = accepts,
                                             .scratch = sf_direct_convt_scratch,
                                             .forward = forward_avx2,
                                             .backward_data = backward_data_avx2,
                                             .backward_weight = backward_weight_avx2 };
