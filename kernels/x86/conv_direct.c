#include "kernels/conv.h"
#include "kernels/cpu.h"
#include "kernels/x86/direct.h"
#include "kernels/x86/direct_plan.h"

/* The same three passes for each instruction set; only the two run functions differ. */

static bool accepts(const sf_conv *c) { return c->dtype == SF_F32; }

static sf_status forward_avx512(const sf_conv *c, const sf_conv_fwd *a, void *scratch)
{
    SF_TRY(sf_gather_check(a->n_in));
    sf_gather_conv_forward(c, a, sf_gather_direct_avx512, scratch);
    return SF_OK;
}

static sf_status backward_data_avx512(const sf_conv *c, const sf_conv_bwd_data *a, void *scratch)
{
    SF_TRY(sf_gather_check(a->n_in));
    sf_gather_conv_data(c, a, sf_gather_direct_avx512, scratch);
    return SF_OK;
}

static sf_status backward_weight_avx512(const sf_conv *c, const sf_conv_bwd_weight *a,
                                        void *scratch)
{
    SF_TRY(sf_gather_check(a->n_in));
    sf_gather_conv_weight(c, a, sf_wgrad_direct_avx512, scratch);
    return SF_OK;
}

static sf_status forward_avx2(const sf_conv *c, const sf_conv_fwd *a, void *scratch)
{
    SF_TRY(sf_gather_check(a->n_in));
    sf_gather_conv_forward(c, a, sf_gather_direct_avx2, scratch);
    return SF_OK;
}

static sf_status backward_data_avx2(const sf_conv *c, const sf_conv_bwd_data *a, void *scratch)
{
    SF_TRY(sf_gather_check(a->n_in));
    sf_gather_conv_data(c, a, sf_gather_direct_avx2, scratch);
    return SF_OK;
}

static sf_status backward_weight_avx2(const sf_conv *c, const sf_conv_bwd_weight *a, void *scratch)
{
    SF_TRY(sf_gather_check(a->n_in));
    sf_gather_conv_weight(c, a, sf_wgrad_direct_avx2, scratch);
    return SF_OK;
}

const sf_conv_impl sf_conv_direct_avx512 = { .name = "direct_avx512",
                                             .isa = SF_ISA_AVX512,
                                             .accepts = accepts,
                                             .scratch = sf_direct_conv_scratch,
                                             .forward = forward_avx512,
                                             .backward_data = backward_data_avx512,
                                             .backward_weight = backward_weight_avx512 };
const sf_conv_impl sf_conv_direct_avx2 = { .name = "direct_avx2",
                                           .isa = SF_ISA_AVX2,
                                           .accepts = accepts,
                                           .scratch = sf_direct_conv_scratch,
                                           .forward = forward_avx2,
                                           .backward_data = backward_data_avx2,
                                           .backward_weight = backward_weight_avx2 };
