#include "kernels/convt.h"
#include "kernels/cpu.h"
#include "kernels/x86/direct.h"
#include "kernels/x86/direct_plan.h"

/* The same three passes for each instruction set; only the two run functions differ. */

static bool floats(const sf_convt *c) { return c->dtype != SF_F64; }
static bool halves(const sf_convt *c) { return c->dtype == SF_BF16; }

#define DIRECT(NAME, ISA, ACCEPTS)                                                                 \
    static sf_status forward_##NAME(const sf_convt *c, const sf_convt_fwd *a, void *scratch)       \
    {                                                                                              \
        sf_gather_convt_forward(c, a, sf_gather_direct_##NAME, scratch);                           \
        return SF_OK;                                                                              \
    }                                                                                              \
    static sf_status data_##NAME(const sf_convt *c, const sf_convt_bwd_data *a, void *scratch)     \
    {                                                                                              \
        sf_gather_convt_data(c, a, sf_gather_direct_##NAME, scratch);                              \
        return SF_OK;                                                                              \
    }                                                                                              \
    static sf_status weight_##NAME(const sf_convt *c, const sf_convt_bwd_weight *a, void *scratch) \
    {                                                                                              \
        sf_gather_convt_weight(c, a, sf_wgrad_direct_##NAME, scratch);                             \
        return SF_OK;                                                                              \
    }                                                                                              \
    const sf_convt_impl sf_convt_direct_##NAME = { .name = "direct_" #NAME,                        \
                                                   .isa = ISA,                                     \
                                                   .accepts = ACCEPTS,                             \
                                                   .scratch = sf_direct_convt_scratch,             \
                                                   .forward = forward_##NAME,                      \
                                                   .backward_data = data_##NAME,                   \
                                                   .backward_weight = weight_##NAME }

DIRECT(bf16, SF_ISA_BF16, halves);
DIRECT(avx512, SF_ISA_AVX512, floats);
DIRECT(avx2, SF_ISA_AVX2, floats);
