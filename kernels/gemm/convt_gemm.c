#include "kernels/convt.h"
#include "kernels/gemm/gather_gemm.h"
#include "kernels/view.h"

static bool accepts(const sf_convt *c) { return c->dtype != SF_F64; }

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static size_t scratch_size(const sf_convt *c, int threads)
{
    sf_gather_axis axis[3];
    sf_gather_convt_axes(c, axis);
    size_t s = sf_gather_gemm_scratch(axis, c->out.c, sf_blocks(c->in.c), threads);
    s = larger(s, sf_wgrad_gemm_scratch(axis, c->out.c, c->in.c, threads));
    sf_gather_convt_phase_axes(c, 0, axis);
    return larger(s, sf_gather_gemm_scratch(axis, c->in.c, sf_blocks(c->out.c), threads));
}

static sf_status forward(const sf_convt *c, const sf_convt_fwd *a, void *scratch)
{
    sf_gather_convt_forward(c, a, sf_gather_gemm, scratch);
    return SF_OK;
}

static sf_status backward_data(const sf_convt *c, const sf_convt_bwd_data *a, void *scratch)
{
    sf_gather_convt_data(c, a, sf_gather_gemm, scratch);
    return SF_OK;
}

static sf_status backward_weight(const sf_convt *c, const sf_convt_bwd_weight *a, void *scratch)
{
    sf_gather_convt_weight(c, a, sf_wgrad_gemm, scratch);
    return SF_OK;
}

const sf_convt_impl sf_convt_gemm = { .name = "gemm",
                                      .accepts = accepts,
                                      .scratch = scratch_size,
                                      .forward = forward,
                                      .backward_data = backward_data,
                                      .backward_weight = backward_weight };
