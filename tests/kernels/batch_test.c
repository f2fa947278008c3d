/* Every convolution variant on a batch of two and on its samples one by one: the same bits,
 * outputs, statistics and input gradients. Ranks that share a batch rely on it. The sizes lie where
 * a pass changes its way of working with the number of tiles. */
#include "base/mem.h"
#include "kernels/conv.h"
#include "kernels/cpu.h"
#include "kernels/view.h"
#include "tensor.h"
#include <stdio.h>
#include <string.h>

typedef struct {
    int64_t ci, co, d, h, w;
    int k[3], s[3];
} batch_case;

static const batch_case cases[] = {
    { 64, 64, 8, 20, 24, { 3, 3, 3 }, { 1, 1, 1 } }, /* 60 tiles, 30 in a layer */
    { 64, 64, 16, 16, 16, { 3, 3, 3 }, { 1, 1, 1 } },
    { 48, 80, 7, 17, 26, { 3, 3, 3 }, { 1, 1, 1 } },
    { 64, 64, 12, 24, 20, { 3, 3, 3 }, { 2, 2, 2 } },
    { 64, 96, 6, 14, 30, { 1, 3, 3 }, { 1, 1, 1 } },
    { 128, 128, 1, 31, 33, { 1, 3, 3 }, { 1, 1, 1 } },
    { 5, 16, 6, 10, 9, { 3, 3, 3 }, { 1, 1, 1 } },
    { 32, 32, 1, 80, 64, { 1, 3, 3 }, { 1, 1, 1 } },
    { 32, 64, 1, 80, 64, { 1, 3, 3 }, { 1, 2, 2 } },
    { 64, 64, 1, 40, 32, { 1, 3, 3 }, { 1, 1, 1 } },
    { 64, 128, 1, 40, 32, { 1, 3, 3 }, { 1, 2, 2 } },
    { 128, 128, 1, 20, 16, { 1, 3, 3 }, { 1, 1, 1 } },
    { 128, 256, 1, 20, 16, { 1, 3, 3 }, { 1, 2, 2 } },
    { 256, 256, 1, 10, 8, { 1, 3, 3 }, { 1, 1, 1 } },
    { 256, 512, 1, 10, 8, { 1, 3, 3 }, { 1, 2, 2 } },
    { 512, 512, 1, 5, 4, { 1, 3, 3 }, { 1, 1, 1 } },
    { 512, 256, 1, 10, 8, { 1, 3, 3 }, { 1, 1, 1 } },
    { 32, 3, 1, 80, 64, { 1, 1, 1 }, { 1, 1, 1 } },
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

/* What is computed, for the whole batch or sample by sample. */
typedef struct {
    tst_tensor out, din;
    double *stats;
} results;

typedef struct {
    const batch_case *t;
    sf_shape shape, result; /* of two samples */
    tst_tensor in, scale, shift, dout;
    float *w;
    double *none;
    int64_t n_stats; /* of one sample */
} problem;

static sf_view sample_of(const tst_tensor *t, int64_t n)
{
    sf_view v = t->vf;
    v.data = (float *)v.data + sf_view_offset(&v, n, 0, 0, 0, 0);
    v.shape.n = 1;
    return v;
}

static void problem_make(problem *p, const batch_case *t)
{
    sf_conv c;
    *p = (problem){ .t = t, .shape = { 2, t->ci, t->d, t->h, t->w } };
    tst_ok(sf_conv_make(&c, p->shape, t->co, t->k, t->s, SF_F32));
    p->result = c.out;
    p->in = tst_tensor_make(p->shape, 0, 1);
    p->scale = tst_tensor_make((sf_shape){ 2, t->ci, 1, 1, 1 }, 0, 2);
    p->shift = tst_tensor_make((sf_shape){ 2, t->ci, 1, 1, 1 }, 0, 3);
    p->dout = tst_tensor_make(c.out, 0, 4);
    const int64_t n_w = t->co * t->ci * t->k[0] * t->k[1] * t->k[2];
    tst_ok(sf_mem_alloc(&p->w, (size_t)n_w, sizeof *p->w, SF_MEM_MISC));
    tst_ok(sf_mem_alloc(&p->none, (size_t)n_w, sizeof *p->none, SF_MEM_MISC));
    tst_fill(p->w, p->none, n_w, 0.1, 5);
    p->n_stats = sf_cpad(t->co) * sf_slices(c.out) * 2;
}

static void problem_free(problem *p)
{
    tst_tensor *all[] = { &p->in, &p->scale, &p->shift, &p->dout };
    for (int i = 0; i < 4; i++) tst_tensor_free(all[i]);
    sf_mem_free(p->w);
    sf_mem_free(p->none);
}

static results results_make(const problem *p)
{
    results r = { tst_tensor_make(p->result, 0, 6), tst_tensor_make(p->shape, 0, 7), NULL };
    tst_ok(sf_mem_calloc(&r.stats, (size_t)(2 * p->n_stats), sizeof *r.stats, SF_MEM_MISC));
    return r;
}

static void results_free(results *r)
{
    tst_tensor_free(&r->out);
    tst_tensor_free(&r->din);
    sf_mem_free(r->stats);
}

/* Samples [first, first + count). */
static void run(const problem *p, const sf_conv_impl *im, int64_t first, int64_t count, results *r)
{
    sf_shape in = p->shape;
    sf_conv c;
    in.n = count;
    tst_ok(sf_conv_make(&c, in, p->t->co, p->t->k, p->t->s, SF_F32));
    void *scratch;
    tst_ok(sf_mem_calloc(&scratch, im->scratch ? im->scratch(&c, 1) : 64, 1, SF_MEM_MISC));
    const int64_t rule = first * sf_cpad(p->t->ci);
    sf_input x = { .x = sample_of(&p->in, first),
                   .scale = p->scale.f + rule,
                   .shift = p->shift.f + rule,
                   .slope = 0.01 };
    sf_view out = sample_of(&r->out, first), dout = sample_of(&p->dout, first),
            din = sample_of(&r->din, first);
    x.x.shape.n = out.shape.n = dout.shape.n = din.shape.n = count;
    const bool add = false;
    const sf_conv_fwd f = { &x, 1, p->w, NULL, out, r->stats + first * p->n_stats, 1 };
    const sf_conv_bwd_data d = { p->w, dout, &din, &add, 1, 1 };
    tst_ok(im->forward(&c, &f, scratch));
    tst_ok(im->backward_data(&c, &d, scratch));
    sf_mem_free(scratch);
}

static void same(const void *a, const void *b, size_t bytes, const char *im, const batch_case *t,
                 const char *what)
{
    if (memcmp(a, b, bytes) != 0)
        fail_msg("%s, %d -> %d, %dx%dx%d: %s of a batch differ from those of its samples", im,
                 (int)t->ci, (int)t->co, (int)t->d, (int)t->h, (int)t->w, what);
}

static void check(const problem *p, const sf_conv_impl *im)
{
    results both = results_make(p), each = results_make(p);
    run(p, im, 0, 2, &both);
    run(p, im, 0, 1, &each);
    run(p, im, 1, 1, &each);
    same(both.out.f, each.out.f, sf_view_bytes(SF_F32, p->result), im->name, p->t, "outputs");
    same(both.din.f, each.din.f, sf_view_bytes(SF_F32, p->shape), im->name, p->t, "gradients");
    same(both.stats, each.stats, (size_t)(2 * p->n_stats) * sizeof(double), im->name, p->t,
         "statistics");
    results_free(&both);
    results_free(&each);
}

static void test_samples(void **state)
{
    (void)state;
    const unsigned isa = sf_cpu_isa();
    for (int i = 0; i < N_CASES; i++) {
        problem p;
        sf_conv c;
        problem_make(&p, &cases[i]);
        tst_ok(sf_conv_make(&c, p.shape, cases[i].co, cases[i].k, cases[i].s, SF_F32));
        for (const sf_conv_impl *const *im = sf_conv_impls; *im; im++)
            if (!((*im)->isa & ~isa) && (!(*im)->accepts || (*im)->accepts(&c)) &&
                strcmp((*im)->name, "ref") != 0)
                check(&p, *im);
        problem_free(&p);
    }
}

/* The workspace of a batch is also enough for fewer samples: the last batch is seldom full. */
static void test_workspace(void **state)
{
    (void)state;
    const unsigned isa = sf_cpu_isa();
    for (int i = 0; i < N_CASES; i++)
        for (const sf_conv_impl *const *im = sf_conv_impls; *im; im++) {
            const batch_case *t = &cases[i];
            size_t last = 0;
            if (((*im)->isa & ~isa) || !(*im)->scratch) continue;
            for (int64_t n = 1; n <= 20; n++) {
                const sf_shape in = { n, t->ci, t->d, t->h, t->w };
                sf_conv c;
                tst_ok(sf_conv_make(&c, in, t->co, t->k, t->s, SF_F32));
                if ((*im)->accepts && !(*im)->accepts(&c)) break;
                const size_t bytes = (*im)->scratch(&c, 2);
                if (bytes < last)
                    fail_msg("%s, %d -> %d: %d samples ask for less room than %d", (*im)->name,
                             (int)t->ci, (int)t->co, (int)n, (int)n - 1);
                last = bytes;
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_samples),
                                        cmocka_unit_test(test_workspace) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
