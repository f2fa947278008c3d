/* Speed of every convolution variant on the layers of typical plans.
 *     bench_conv [THREADS [VARIANT [LAYER-SUBSTRING]]]
 * Prints GF/s per core of process CPU time (best of several runs), which neighbours on a shared
 * machine disturb least; 2 flops per multiply-add of the direct convolution. */
#include "base/log.h"
#include "base/mem.h"
#include "kernels/conv.h"
#include "kernels/convt.h"
#include "kernels/cpu.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *name;
    int64_t n, ci0, ci1, co, d, h, w; /* ci1 > 0: a second, concatenated block */
    int k[3], s[3];
    bool transposed; /* kernel = stride = s */
} layer;

static const layer layers[] = {
    { "1->32 @64^3", 1, 1, 0, 32, 64, 64, 64, { 3, 3, 3 }, { 1, 1, 1 }, false },
    { "4->32 @64^3", 1, 4, 0, 32, 64, 64, 64, { 3, 3, 3 }, { 1, 1, 1 }, false },
    { "32->32 @64^3", 1, 32, 0, 32, 64, 64, 64, { 3, 3, 3 }, { 1, 1, 1 }, false },
    { "32+32->32 @64^3", 1, 32, 32, 32, 64, 64, 64, { 3, 3, 3 }, { 1, 1, 1 }, false },
    { "32->64 s2 @64^3", 1, 32, 0, 64, 64, 64, 64, { 3, 3, 3 }, { 2, 2, 2 }, false },
    { "64->64 @32^3", 2, 64, 0, 64, 32, 32, 32, { 3, 3, 3 }, { 1, 1, 1 }, false },
    { "128->128 @16^3", 2, 128, 0, 128, 16, 16, 16, { 3, 3, 3 }, { 1, 1, 1 }, false },
    { "128->128 10x14x10", 2, 128, 0, 128, 10, 14, 10, { 3, 3, 3 }, { 1, 1, 1 }, false },
    { "256->256 @8^3", 2, 256, 0, 256, 8, 8, 8, { 3, 3, 3 }, { 1, 1, 1 }, false },
    { "256->320 s2 @8^3", 2, 256, 0, 320, 8, 8, 8, { 3, 3, 3 }, { 2, 2, 2 }, false },
    { "320->320 @4^3", 2, 320, 0, 320, 4, 4, 4, { 3, 3, 3 }, { 1, 1, 1 }, false },
    { "1x3x3 32->32 20x128^2", 1, 32, 0, 32, 20, 128, 128, { 1, 3, 3 }, { 1, 1, 1 }, false },
    { "2D 32->32 @256^2", 2, 32, 0, 32, 1, 256, 256, { 1, 3, 3 }, { 1, 1, 1 }, false },
    { "2D 512->512 @32^2", 2, 512, 0, 512, 1, 32, 32, { 1, 3, 3 }, { 1, 1, 1 }, false },
    { "2D 256->256 @64^2", 2, 256, 0, 256, 1, 64, 64, { 1, 3, 3 }, { 1, 1, 1 }, false },
    { "2D 512->512 @8^2", 2, 512, 0, 512, 1, 8, 8, { 1, 3, 3 }, { 1, 1, 1 }, false },
    { "head 32->3 @64^3", 1, 32, 0, 3, 64, 64, 64, { 1, 1, 1 }, { 1, 1, 1 }, false },
    { "up 64->32 @32^3", 1, 64, 0, 32, 32, 32, 32, { 2, 2, 2 }, { 2, 2, 2 }, true },
    { "up 320->256 @4^3", 2, 320, 0, 256, 4, 4, 4, { 2, 2, 2 }, { 2, 2, 2 }, true },
};
enum { N_LAYERS = sizeof layers / sizeof layers[0], REPEATS = 3 };

static float *filled(int64_t n)
{
    float *p;
    if (sf_mem_alloc(&p, (size_t)n, sizeof *p, SF_MEM_MISC)) exit(1);
    for (int64_t i = 0; i < n; i++) p[i] = (float)((i * 2654435761u >> 7) % 1000) * 1e-3f - 0.5f;
    return p;
}

static sf_view tensor(sf_shape s)
{
    sf_view v = sf_view_dense(NULL, SF_F32, s);
    v.data = filled((int64_t)(sf_view_bytes(SF_F32, s) / sizeof(float)));
    return v;
}

static sf_input input(sf_view v)
{
    const int64_t n = v.shape.n * sf_cpad(v.shape.c);
    return (sf_input){ .x = v, .scale = filled(n), .shift = filled(n), .slope = 0.01 };
}

typedef struct {
    const layer *l;
    sf_conv c;
    sf_convt t;
    sf_input in[2];
    sf_view out, dout, din[2];
    float *w, *dw, *bias;
    double *stats;
    int n_in, threads;
} job;

static void run_conv(const job *j, const sf_conv_impl *im, int pass, void *scratch)
{
    const bool add[2] = { false, false };
    const sf_conv_fwd f = { j->in, j->n_in, j->w, j->bias, j->out, j->stats, j->threads };
    const sf_conv_bwd_data d = { j->w, j->dout, j->din, add, j->n_in, j->threads };
    sf_status st = SF_OK;
    if (pass == 0) st = im->forward(&j->c, &f, scratch);
    if (pass == 1) st = im->backward_data(&j->c, &d, scratch);
    for (int64_t n = 0; pass == 2 && n < j->c.in.n && !st; n++) {
        const sf_conv_bwd_weight w = { j->in, j->n_in, j->dout,   n, 0, sf_slices(j->c.out),
                                       j->dw, NULL,    j->threads };
        st = im->backward_weight(&j->c, &w, scratch);
    }
    if (st) exit(1);
}

static void run_convt(const job *j, const sf_convt_impl *im, int pass, void *scratch)
{
    const sf_convt_fwd f = { j->in[0], j->w, j->bias, j->out, j->threads };
    const sf_convt_bwd_data d = { j->w, j->dout, j->din[0], false, j->threads };
    sf_status st = SF_OK;
    if (pass == 0) st = im->forward(&j->t, &f, scratch);
    if (pass == 1) st = im->backward_data(&j->t, &d, scratch);
    for (int64_t n = 0; pass == 2 && n < j->t.in.n && !st; n++) {
        const sf_convt_bwd_weight w = { j->in[0],           j->dout, n,    0,
                                        sf_slices(j->t.in), j->dw,   NULL, j->threads };
        st = im->backward_weight(&j->t, &w, scratch);
    }
    if (st) exit(1);
}

static void measure(const job *j, const sf_conv_impl *im, const sf_convt_impl *imt)
{
    size_t bytes = 0;
    void *scratch;
    if (im && im->scratch) bytes = im->scratch(&j->c, j->threads);
    if (imt && imt->scratch) bytes = imt->scratch(&j->t, j->threads);
    if (sf_mem_calloc(&scratch, bytes, 1, SF_MEM_MISC)) exit(1);
    const double macs = im ? sf_conv_macs(&j->c) : sf_convt_macs(&j->t);
    printf("%-24s %-16s", j->l->name, im ? im->name : imt->name);
    for (int pass = 0; pass < 3; pass++) {
        double best = 1e30;
        for (int r = 0; r < REPEATS; r++) {
            const double t = sf_cpu_seconds();
            if (im)
                run_conv(j, im, pass, scratch);
            else
                run_convt(j, imt, pass, scratch);
            if (sf_cpu_seconds() - t < best) best = sf_cpu_seconds() - t;
        }
        printf(" %8.2f ms %6.1f", best * 1e3, 2e-9 * macs / best);
    }
    printf("  %6.1f MB\n", (double)bytes * 1e-6);
    fflush(stdout);
    sf_mem_free(scratch);
}

static void job_make(job *j, const layer *l, int threads)
{
    sf_shape in = { l->n, l->ci0 + l->ci1, l->d, l->h, l->w };
    memset(j, 0, sizeof *j);
    j->l = l;
    j->threads = threads;
    if (l->transposed ? sf_convt_make(&j->t, in, l->co, l->s, SF_F32)
                      : sf_conv_make(&j->c, in, l->co, l->k, l->s, SF_F32))
        exit(1);
    const sf_shape out = l->transposed ? j->t.out : j->c.out;
    j->n_in = l->ci1 > 0 ? 2 : 1;
    for (int i = 0; i < j->n_in; i++) {
        in.c = i ? l->ci1 : l->ci0;
        j->in[i] = input(tensor(in));
        j->din[i] = tensor(in);
    }
    j->out = tensor(out);
    j->dout = tensor(out);
    const int64_t n_w = l->co * (l->ci0 + l->ci1) * l->k[0] * l->k[1] * l->k[2];
    j->w = filled(n_w);
    j->dw = filled(n_w);
    j->bias = filled(l->co);
    if (sf_mem_alloc(&j->stats, (size_t)(l->n * sf_cpad(l->co) * sf_slices(out) * 2), 8,
                     SF_MEM_MISC))
        exit(1);
}

static void job_free(job *j)
{
    for (int i = 0; i < j->n_in; i++) {
        sf_mem_free(j->in[i].x.data);
        sf_mem_free((void *)j->in[i].scale);
        sf_mem_free((void *)j->in[i].shift);
        sf_mem_free(j->din[i].data);
    }
    void *all[] = { j->out.data, j->dout.data, j->w, j->dw, j->bias, j->stats };
    for (int i = 0; i < 6; i++) sf_mem_free(all[i]);
}

int main(int argc, char **argv)
{
    const int threads = argc > 1 ? atoi(argv[1]) : 1;
    const char *only = argc > 2 && *argv[2] ? argv[2] : NULL;
    const char *which = argc > 3 ? argv[3] : "";
    const unsigned isa = sf_cpu_isa();
    printf("isa=%s threads=%d; per pass: CPU ms, GF/s per core (forward, data, weight)\n",
           sf_cpu_isa_name(isa), threads);
    for (int i = 0; i < N_LAYERS; i++) {
        job j;
        if (!strstr(layers[i].name, which)) continue;
        job_make(&j, &layers[i], threads);
        for (const sf_conv_impl *const *im = sf_conv_impls; *im && !layers[i].transposed; im++)
            if (!((*im)->isa & ~isa) && (!(*im)->accepts || (*im)->accepts(&j.c)) &&
                (only ? !strcmp((*im)->name, only) : strcmp((*im)->name, "ref") != 0))
                measure(&j, *im, NULL);
        for (const sf_convt_impl *const *im = sf_convt_impls; *im && layers[i].transposed; im++)
            if (!((*im)->isa & ~isa) && (!(*im)->accepts || (*im)->accepts(&j.t)) &&
                (only ? !strcmp((*im)->name, only) : strcmp((*im)->name, "ref") != 0))
                measure(&j, NULL, *im);
        job_free(&j);
    }
    return 0;
}
