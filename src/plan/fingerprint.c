#include "plan/fingerprint.h"
#include "base/log.h"
#include "base/mem.h"
#include "plan/case_print.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Statistics over the foreground of all cases, from exact histograms. Sums run over the values of a
 * case in ascending order, then over the cases in index order; order statistics are found by
 * bisection over the floats, so no pooled copy is ever made. */

typedef struct {
    sf_case_print *const *cases;
    int n_cases, channel;
    int n_full;      /* cases with foreground */
    uint64_t voxels; /* of all of them */
    bool pooled;     /* paper: every voxel weighs the same; v2: every case does */
} sample;

static const sf_histogram *of(const sample *s, int c) { return &s->cases[c]->channel[s->channel]; }

static double weight(const sample *s, const sf_histogram *h)
{
    return s->pooled ? 1.0 / (double)s->voxels
                     : 1.0 / ((double)s->n_full * (double)sf_histogram_total(h));
}

/** Voxels with a value <= v, over all cases. */
static uint64_t count_upto(const sample *s, float v)
{
    uint64_t n = 0;
    for (int c = 0; c < s->n_cases; c++) n += sf_histogram_upto(of(s, c), v);
    return n;
}

/** Part of the cases' mass at values <= v; grows with v because every term does. */
static double mass_upto(const sample *s, float v)
{
    double m = 0;
    for (int c = 0; c < s->n_cases; c++) {
        const sf_histogram *h = of(s, c);
        if (h->n) m += (double)sf_histogram_upto(h, v) / (double)sf_histogram_total(h);
    }
    return m / s->n_full;
}

/** Smallest float v with reached(v); min and max bound the search. */
static float bisect(const sample *s, float min, float max, uint64_t rank, double part)
{
    uint32_t lo = sf_float_key(min), hi = sf_float_key(max);
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        const float v = sf_float_of_key(mid);
        const bool reached = s->pooled ? count_upto(s, v) >= rank : mass_upto(s, v) >= part;
        if (reached)
            hi = mid;
        else
            lo = mid + 1;
    }
    return sf_float_of_key(hi);
}

/** q in 0..100. Pooled: linear between order statistics, as NumPy; else the value at which the mass
 *  reaches q, the limit of drawing ever more voxels. */
static double percentile(const sample *s, float min, float max, double q)
{
    if (!s->pooled) return bisect(s, min, max, 0, q / 100);
    const double p = (double)(s->voxels - 1) * (q / 100);
    const uint64_t i = (uint64_t)floor(p);
    const double t = p - (double)i, a = bisect(s, min, max, i + 1, 0);
    if (i + 1 >= s->voxels) return a;
    const double b = bisect(s, min, max, i + 2, 0);
    return t < 0.5 ? a + (b - a) * t : b - (b - a) * (1 - t);
}

static void describe(sf_intensity *out, const sample *s)
{
    float min = INFINITY, max = -INFINITY;
    double mean = 0, var = 0;
    for (int c = 0; c < s->n_cases; c++) {
        const sf_histogram *h = of(s, c);
        if (!h->n) continue;
        min = fminf(min, h->value[0]);
        max = fmaxf(max, h->value[h->n - 1]);
        mean += weight(s, h) * sf_histogram_sum(h);
    }
    for (int c = 0; c < s->n_cases; c++) {
        const sf_histogram *h = of(s, c);
        if (h->n) var += weight(s, h) * sf_histogram_squares(h, mean);
    }
    out->min = min;
    out->max = max;
    out->mean = mean;
    out->std = sqrt(var);
    out->median = percentile(s, min, max, 50);
    out->p00_5 = percentile(s, min, max, 0.5);
    out->p99_5 = percentile(s, min, max, 99.5);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static sf_status relative_sizes(sf_fingerprint *f)
{
    const int n = f->n_cases;
    double *x = NULL, before = 0, after = 0;
    SF_TRY(sf_mem_alloc(&x, (size_t)n, sizeof *x, SF_MEM_MISC));
    for (int c = 0; c < n; c++) {
        const int64_t *a = f->shape_after[c], *b = f->shape_before[c];
        const double va = (double)a[0] * (double)a[1] * (double)a[2];
        const double vb = (double)b[0] * (double)b[1] * (double)b[2];
        x[c] = f->relative_size[c] = va / vb;
        after += va;
        before += vb;
    }
    qsort(x, (size_t)n, sizeof *x, by_value);
    f->median_relative_size = n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
    f->mean_relative_size = after / before;
    sf_mem_free(x);
    return SF_OK;
}

static sf_status describe_channels(sf_fingerprint *f, const sf_dataset *d, const sf_recipe *r,
                                   sf_case_print *const *cases)
{
    for (int c = 0; c < f->n_channels; c++) {
        sample s = { .cases = cases, .n_cases = f->n_cases, .channel = c };
        s.pooled = r->plan.ct_statistics == SF_RULE_PAPER;
        for (int i = 0; i < f->n_cases; i++) {
            const uint64_t n = sf_histogram_total(of(&s, i));
            s.n_full += n > 0;
            s.voxels += n;
        }
        SF_CHECK(s.voxels > 0, SF_EDATA,
                 "%s: no case has a labelled voxel inside its non-zero region; check the labels",
                 d->dir);
        describe(&f->intensity[c], &s);
        if (f->intensity[c].std == 0 && strcasecmp(d->channel_names[c], "ct") == 0)
            sf_log(SF_LOG_WARN, "fingerprint", "channel=%d the CT foreground has one value only",
                   c);
    }
    return SF_OK;
}

sf_status sf_fingerprint_combine(sf_fingerprint **out, const sf_dataset *d, const sf_recipe *r,
                                 sf_case_print *const *cases)
{
    sf_fingerprint *f = NULL;
    sf_status st = SF_OK;
    SF_TRY(sf_fingerprint_create(&f, d->n_train, d->n_channels));
    for (int c = 0; c < f->n_cases; c++) {
        const sf_case_print *p = cases[c];
        SF_CHECK_GOTO(fail, st, p->n_channels == d->n_channels, SF_EINTERNAL, "case %d: channels",
                      c);
        memcpy(f->shape_before[c], p->shape_before, sizeof f->shape_before[c]);
        memcpy(f->shape_after[c], p->shape_after, sizeof f->shape_after[c]);
        memcpy(f->spacing[c], p->spacing, sizeof f->spacing[c]);
    }
    SF_GOTO(fail, st, relative_sizes(f));
    SF_GOTO(fail, st, describe_channels(f, d, r, cases));
    *out = f;
    return SF_OK;
fail:
    sf_fingerprint_destroy(&f);
    return st;
}

/** All cases; of several failures that of the lowest case is kept. */
static sf_status make_prints(sf_case_print **cases, const sf_dataset *d, const sf_recipe *r,
                             int threads)
{
    sf_error_state first = { .status = SF_OK };
    int failed = d->n_train, done = 0;
    sf_progress *bar = sf_progress_begin("fingerprint", d->n_train);
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads < 1 ? 1 : threads)
    for (int c = 0; c < d->n_train; c++) {
        int skip;
#pragma omp atomic read
        skip = failed;
        if (skip < c) continue;
        const sf_status st = sf_case_print_make(&cases[c], d, r, c);
#pragma omp critical(sf_fingerprint)
        {
            if (st != SF_OK && c < failed) {
                sf_error_save(&first, st);
#pragma omp atomic write
                failed = c;
            }
            sf_progress_step(bar, ++done);
        }
    }
    sf_progress_end(&bar);
    return first.status == SF_OK ? SF_OK : sf_error_restore(&first);
}

sf_status sf_fingerprint_compute(sf_fingerprint **out, const sf_dataset *d, const sf_recipe *r,
                                 int threads)
{
    sf_case_print **cases = NULL;
    SF_CHECK(d->n_train > 0, SF_EDATA, "%s: no training cases", d->dir);
    SF_TRY(sf_mem_calloc(&cases, (size_t)d->n_train, sizeof *cases, SF_MEM_MISC));
    sf_status st = make_prints(cases, d, r, threads);
    if (st == SF_OK) st = sf_fingerprint_combine(out, d, r, cases);
    for (int c = 0; c < d->n_train; c++) sf_case_print_destroy(&cases[c]);
    sf_mem_free(cases);
    return st;
}
