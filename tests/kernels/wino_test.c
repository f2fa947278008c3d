/* Rounding of the Winograd variants against double: relative RMS with up to 320 channels in a sum,
 * activations as a leaky ReLU of normal values makes them, weights as He draws them. */
#include "base/mem.h"
#include "kernels/conv.h"
#include "kernels/cpu.h"
#include "tensor.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    int64_t ci, co, d, h, w;
    int k[3], s[3];
    double data, weight; /* bounds: outputs and input gradients, weight gradients */
} bound_case;

static const bound_case cases[] = {
    { 320, 16, 8, 8, 8, { 3, 3, 3 }, { 1, 1, 1 }, 5e-6, 1e-5 },
    { 16, 320, 8, 8, 8, { 3, 3, 3 }, { 1, 1, 1 }, 5e-6, 1e-5 },
    { 32, 16, 12, 24, 24, { 3, 3, 3 }, { 1, 1, 1 }, 5e-6, 1e-5 },
    { 320, 16, 1, 32, 32, { 1, 3, 3 }, { 1, 1, 1 }, 5e-6, 1e-5 },
    { 320, 64, 4, 4, 4, { 3, 3, 3 }, { 1, 1, 1 }, 1e-6, 5e-6 },
    { 64, 320, 4, 4, 4, { 3, 3, 3 }, { 1, 1, 1 }, 1e-6, 5e-6 },
    { 320, 32, 8, 8, 8, { 3, 3, 3 }, { 2, 2, 2 }, 1e-6, 5e-6 },
    { 32, 320, 8, 8, 8, { 3, 3, 3 }, { 2, 2, 2 }, 1e-6, 5e-6 },
    { 64, 32, 8, 16, 16, { 3, 3, 3 }, { 1, 2, 2 }, 5e-6, 1e-5 },
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

/* One problem in float and double; in, dout, weights are the givens. */
typedef struct {
    const bound_case *t;
    sf_conv cf, cd;
    tst_tensor in, scale, shift, dout, out, din;
    float *wf, *dwf;
    double *wd, *dwd;
    int64_t n_w;
} problem;

static void *get(int64_t n, size_t size)
{
    void *p;
    tst_ok(sf_mem_calloc(&p, (size_t)n, size, SF_MEM_MISC));
    return p;
}

static void problem_make(problem *p, const bound_case *t)
{
    const sf_shape in = { 1, t->ci, t->d, t->h, t->w }, lanes = { 1, t->ci, 1, 1, 1 };
    *p = (problem){ .t = t };
    tst_ok(sf_conv_make(&p->cf, in, t->co, t->k, t->s, SF_F32));
    tst_ok(sf_conv_make(&p->cd, in, t->co, t->k, t->s, SF_F64));
    p->in = tst_tensor_make(in, 0, 1);
    p->din = tst_tensor_make(in, 0, 2);
    p->scale = tst_tensor_make(lanes, 0, 3);
    p->shift = tst_tensor_make(lanes, 0, 4);
    p->out = tst_tensor_make(p->cf.out, 0, 5);
    p->dout = tst_tensor_make(p->cf.out, 0, 6);
    for (int64_t c = 0; c < t->ci; c++) {
        p->scale.f[c] = 1.0f, p->scale.d[c] = 1.0;
        p->shift.f[c] = 0.0f, p->shift.d[c] = 0.0;
    }
    const int64_t taps = t->k[0] * t->k[1] * t->k[2];
    p->n_w = t->co * t->ci * taps;
    p->wf = get(p->n_w, 4), p->wd = get(p->n_w, 8), p->dwf = get(p->n_w, 4);
    p->dwd = get(p->n_w, 8);
    tst_fill(p->wf, p->wd, p->n_w, sqrt(2.0 / (double)(t->ci * taps)), 7);
}

static void problem_free(problem *p)
{
    tst_tensor *all[] = { &p->in, &p->din, &p->scale, &p->shift, &p->out, &p->dout };
    for (int i = 0; i < 6; i++) tst_tensor_free(all[i]);
    void *rest[] = { p->wf, p->wd, p->dwf, p->dwd };
    for (int i = 0; i < 4; i++) sf_mem_free(rest[i]);
}

/* All three passes of a variant, in its type. */
static void run(problem *p, const sf_conv_impl *im, bool wide)
{
    const sf_conv *c = wide ? &p->cd : &p->cf;
    const void *w = wide ? (void *)p->wd : (void *)p->wf;
    const sf_input in = { .x = wide ? p->in.vd : p->in.vf,
                          .scale = wide ? (void *)p->scale.d : (void *)p->scale.f,
                          .shift = wide ? (void *)p->shift.d : (void *)p->shift.f,
                          .slope = 0.01 };
    const sf_view dout = wide ? p->dout.vd : p->dout.vf, din = wide ? p->din.vd : p->din.vf;
    const sf_view out = wide ? p->out.vd : p->out.vf;
    void *dw = wide ? (void *)p->dwd : (void *)p->dwf;
    const bool add = false;
    char *scratch = get((int64_t)(im->scratch ? im->scratch(c, 2) : 0) + 1, 1);
    tst_ok(im->forward(c, &(sf_conv_fwd){ &in, 1, w, NULL, out, NULL, 2 }, scratch));
    tst_ok(im->backward_data(c, &(sf_conv_bwd_data){ w, dout, &din, &add, 1, 2 }, scratch));
    const sf_conv_bwd_weight leaf = { &in, 1, dout, 0, 0, sf_slices(c->out), dw, NULL, 2 };
    tst_ok(im->backward_weight(c, &leaf, scratch));
    sf_mem_free(scratch);
}

static double relative_rms(const float *got, const double *want, int64_t n)
{
    double error = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        error += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        size += want[i] * want[i];
    }
    return sqrt(error / size);
}

static void check(const problem *p, const char *name)
{
    const int64_t n_out = (int64_t)(sf_view_bytes(SF_F32, p->cf.out) / sizeof(float));
    const int64_t n_in = (int64_t)(sf_view_bytes(SF_F32, p->cf.in) / sizeof(float));
    const double forward = relative_rms(p->out.f, p->out.d, n_out);
    const double data = relative_rms(p->din.f, p->din.d, n_in);
    const double weight = relative_rms(p->dwf, p->dwd, p->n_w);
    printf("    %-12s case %d: forward %.1e, input gradient %.1e, weight gradient %.1e\n", name,
           (int)(p->t - cases), forward, data, weight);
    if (!(forward <= p->t->data && data <= p->t->data && weight <= p->t->weight))
        fail_msg("%s, case %d: beyond %.0e, %.0e", name, (int)(p->t - cases), p->t->data,
                 p->t->weight);
}

static void test_bounds(void **state)
{
    (void)state;
    int tried = 0;
    for (int i = 0; i < N_CASES; i++) {
        problem p;
        problem_make(&p, &cases[i]);
        run(&p, &sf_conv_ref, true);
        for (const sf_conv_impl *const *im = sf_conv_impls; *im; im++) {
            if (strncmp((*im)->name, "wino", 4) || ((*im)->isa & ~sf_cpu_isa())) continue;
            assert_true((*im)->accepts(&p.cf) == ((*im)->isa != SF_ISA_BF16)); /* that: no float */
            if (!(*im)->accepts(&p.cf)) continue;
            run(&p, *im, false);
            check(&p, (*im)->name);
            tried++;
        }
        problem_free(&p);
    }
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
    if (!tried) skip();
}

/* --conv exact never meets Winograd. */
static void test_exact(void **state)
{
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        problem p;
        problem_make(&p, &cases[i]);
        p.cf.exact = true;
        for (const sf_conv_impl *const *im = sf_conv_impls; *im; im++)
            if (!strncmp((*im)->name, "wino", 4)) assert_false((*im)->accepts(&p.cf));
        problem_free(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
