#include "kernels/conv.h"
#include "kernels/gemm/gather_gemm.h"
#include "kernels/view.h"

static bool accepts(const sf_conv *c) { return c->dtype != SF_F64; }

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* The sizes come from the same problems that the run functions see; concatenation may spread the
 * input channels over more blocks than their sum needs. */
static size_t scratch_size(const sf_conv *c, int threads)
{
    sf_gather_axis axis[3];
    sf_gather_conv_axes(c, axis);
    size_t s = sf_gather_gemm_scratch(axis, c->in.c, sf_blocks(c->out.c), threads);
    s = larger(s, sf_wgrad_gemm_scratch(axis, c->in.c, c->out.c, threads));
    const int64_t spread = sf_blocks(c->in.c) + SF_MAX_INPUTS - 1;
    for (int phase = 0; phase < 8; phase++) {
        if (!sf_gather_conv_data_axes(c, phase, axis)) continue;
        s = larger(s, sf_gather_gemm_scratch(axis, c->out.c, spread, threads));
    }
    return s;
}

static sf_status forward(const sf_conv *c, const sf_conv_fwd *a, void *scratch)
{
    SF_TRY(sf_gather_check(a->n_in));
    sf_gather_conv_forward(c, a, sf_gather_gemm, scratch);
    return SF_OK;
}

static sf_status backward_data(const sf_conv *c, const sf_conv_bwd_data *a, void *scratch)
{
    SF_TRY(sf_gather_check(a->n_in));
    sf_gather_conv_data(c, a, sf_gather_gemm, scratch);
    return SF_OK;
}

static sf_status backward_weight(const sf_conv *c, const sf_conv_bwd_weight *a, void *scratch)
{
    SF_TRY(sf_gather_check(a->n_in));
    sf_gather_conv_weight(c, a, sf_wgrad_gemm, scratch);
    return SF_OK;
}

const sf_conv_impl sf_conv_gemm = { .name = "gemm",
                                    .accepts = accepts,
                                    .scratch = scratch_size,
                                    .forward = forward,
                                    .backward_data = backward_data,
                                    .backward_weight = backward_weight };
