#include "base/mem.h"
#include "plan/planning.h"
#include <math.h>
#include <stdlib.h>

/* Target spacing, axis order, median shape (nnunet-planning.md 7). */

enum { MAX_EDGE = 1000000 }; /* of a median image: more is a wrong spacing */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/** Linear interpolation between order statistics (planning.md 4.4); x is sorted. */
static double percentile(const double *x, int n, double q)
{
    const double p = (n - 1) * (q / 100);
    const int i = (int)floor(p);
    if (i >= n - 1) return x[n - 1];
    const double t = p - i, d = x[i + 1] - x[i];
    return t < 0.5 ? x[i] + d * t : x[i + 1] - d * (1 - t);
}

static double median(const double *x, int n)
{
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

static int coarsest(const double t[3])
{
    int w = 0;
    for (int i = 1; i < 3; i++)
        if (t[i] > t[w]) w = i;
    return w;
}

static double spacing_at(const sf_fingerprint *f, int c, int axis) { return f->spacing[c][axis]; }
static double shape_at(const sf_fingerprint *f, int c, int axis)
{
    return (double)f->shape_after[c][axis];
}

/** Sorted values of one axis over the cases into x. */
static void gather(double *x, const sf_fingerprint *f, int axis,
                   double (*at)(const sf_fingerprint *, int, int))
{
    for (int c = 0; c < f->n_cases; c++) x[c] = at(f, c, axis);
    qsort(x, (size_t)f->n_cases, sizeof *x, by_value);
}

static sf_status check_spacings(const sf_fingerprint *f)
{
    for (int c = 0; c < f->n_cases; c++)
        for (int i = 0; i < 3; i++)
            SF_CHECK(f->spacing[c][i] > 1e-9 && f->spacing[c][i] < 1e9 && f->shape_after[c][i] > 0,
                     SF_EDATA, "fingerprint: case %d has spacing %g and %lld voxels along axis %d",
                     c, f->spacing[c][i], (long long)f->shape_after[c][i], i);
    return SF_OK;
}

/** A coarse axis is resampled finer than its median: the low percentile of its spacings.
 *  @return true when the rule changed t[w] */
static bool refine_coarse_axis(double t[3], const sf_plan_grid *g, const sf_plan_settings *s,
                               const sf_fingerprint *f, double *x)
{
    const sf_recipe_plan *r = &s->rule;
    const int w = coarsest(t), a = (w + 1) % 3, b = (w + 2) % 3;
    const double other = fmax(t[a], t[b]), edge = fmin(g->median_shape[a], g->median_shape[b]);
    if (!(t[w] > r->anisotropy * other && g->median_shape[w] * r->anisotropy < edge)) return false;
    gather(x, f, w, spacing_at);
    double q = percentile(x, f->n_cases, r->anisotropy_percentile);
    if (r->target_spacing_3d == SF_RULE_V2 && q < other) q = other + r->anisotropy_floor;
    t[w] = q;
    return true;
}

/** Per-axis median over the cases of the rounded new shape, at least 1. */
static void shape_at_target(double out[3], const sf_fingerprint *f, const double t[3], double *x)
{
    for (int i = 0; i < 3; i++) {
        for (int c = 0; c < f->n_cases; c++)
            x[c] = fmax(1, rint(f->spacing[c][i] / t[i] * (double)f->shape_after[c][i]));
        qsort(x, (size_t)f->n_cases, sizeof *x, by_value);
        out[i] = median(x, f->n_cases);
    }
}

/** v2: the coarsest target first. Paper: the axis with a single slice, else the coarsest median
 *  spacing (the low percentile without floor could make another axis the coarsest, and the 2-D
 *  network would no longer see the planes that were acquired). */
static int first_axis(const sf_plan_grid *g, const sf_plan_settings *s, const double shape[3],
                      bool overwritten)
{
    if (s->rule.target_spacing_3d == SF_RULE_V2) return coarsest(g->target);
    const int w = coarsest(overwritten ? g->target : g->median_spacing);
    if (shape[w] == 1) return w;
    for (int i = 0; i < 3; i++)
        if (shape[i] == 1) return i;
    return w;
}

static void set_order(sf_plan_grid *g, int first)
{
    int k = 0;
    g->forward[k++] = first;
    for (int i = 0; i < 3; i++)
        if (i != first) g->forward[k++] = i;
    for (int i = 0; i < 3; i++) g->backward[g->forward[i]] = i;
}

static json_t *ints3(const int v[3])
{
    const int64_t w[3] = { v[0], v[1], v[2] };
    return sf_json_ints(w, 3);
}

static void explain_spacing(json_t *explain, const sf_plan_grid *g, const sf_plan_settings *s,
                            bool overwritten, bool refined)
{
    const bool v2 = s->rule.target_spacing_3d == SF_RULE_V2;
    const char *rule = "median spacing of the training cases, per axis";
    if (overwritten)
        rule = "given by the user";
    else if (refined)
        rule =
            v2 ? "median; the anisotropic axis takes the low percentile of its spacings, but not "
                 "below the other axes"
               : "median; the anisotropic axis takes the low percentile of its spacings";
    sf_explain_add(explain, "target spacing", "3d", rule,
                   overwritten ? "user" : sf_explain_source(s->rule.target_spacing_3d),
                   json_pack("{s:o, s:o, s:f, s:f}", "median spacing",
                             sf_json_nums(g->median_spacing, 3), "median shape",
                             sf_json_nums(g->median_shape, 3), "anisotropy threshold",
                             s->rule.anisotropy, "percentile", s->rule.anisotropy_percentile),
                   sf_json_nums(g->target, 3));
    const bool plain = s->rule.target_spacing_2d == SF_RULE_PAPER;
    sf_explain_add(explain, "target spacing", "2d",
                   overwritten ? "given by the user"
                   : plain     ? "plain median per axis; only in-plane axes are resampled"
                               : "the 3-D target; only in-plane axes are resampled",
                   overwritten ? "user" : sf_explain_source(s->rule.target_spacing_2d), NULL,
                   sf_json_nums(g->spacing_2d + 1, 2));
}

static void explain_order(json_t *explain, const sf_plan_grid *g, const sf_plan_settings *s)
{
    sf_explain_add(explain, "axis order", "",
                   "the coarsest axis (or that with a single slice) comes first; 2-D networks see "
                   "the planes of the other two",
                   sf_explain_source(s->rule.target_spacing_3d),
                   json_pack("{s:o}", "target spacing", sf_json_nums(g->target, 3)),
                   ints3(g->forward));
    sf_explain_add(explain, "median shape after resampling", "",
                   "median over the cases of round(spacing / target * shape), per axis, transposed",
                   sf_explain_source(SF_RULE_V2), NULL, sf_json_nums(g->shape, 3));
    sf_explain_add(explain, "3-D configurations", "",
                   "none when the median case has one slice only", "nnU-Net v2",
                   json_pack("{s:o}", "median shape", sf_json_nums(g->shape, 3)),
                   json_boolean(!g->only_2d));
}

static bool single_slice(const sf_plan_grid *g, const sf_plan_settings *s)
{
    if (s->rule.target_spacing_3d == SF_RULE_V2) return g->shape[0] == 1;
    return g->shape[0] == 1 || g->shape[1] == 1 || g->shape[2] == 1;
}

static void fill(sf_plan_grid *g, const sf_plan_settings *s, const sf_fingerprint *f,
                 const double *overwrite, double *x, json_t *explain)
{
    double shape[3], shape_2d[3];
    for (int i = 0; i < 3; i++) {
        gather(x, f, i, spacing_at);
        g->median_spacing[i] = percentile(x, f->n_cases, 50);
        gather(x, f, i, shape_at);
        g->median_shape[i] = percentile(x, f->n_cases, 50);
        g->target[i] = g->target_2d[i] = overwrite ? overwrite[i] : g->median_spacing[i];
    }
    const bool refined = !overwrite && refine_coarse_axis(g->target, g, s, f, x);
    if (s->rule.target_spacing_2d == SF_RULE_V2)
        for (int i = 0; i < 3; i++) g->target_2d[i] = g->target[i];
    shape_at_target(shape, f, g->target, x);
    shape_at_target(shape_2d, f, g->target_2d, x);
    set_order(g, first_axis(g, s, shape, overwrite != NULL));
    for (int i = 0; i < 3; i++) {
        g->spacing[i] = g->target[g->forward[i]];
        g->shape[i] = shape[g->forward[i]];
        g->spacing_2d[i] = g->target_2d[g->forward[i]];
        g->shape_2d[i] = shape_2d[g->forward[i]];
    }
    g->only_2d = single_slice(g, s);
    explain_spacing(explain, g, s, overwrite != NULL, refined);
    explain_order(explain, g, s);
}

sf_status sf_plan_grid_make(sf_plan_grid *g, const sf_plan_settings *s, const sf_fingerprint *f,
                            const double *overwrite, json_t *explain)
{
    double *x = NULL;
    SF_CHECK(f->n_cases > 0, SF_EDATA, "fingerprint: no cases");
    for (int i = 0; overwrite && i < 3; i++)
        SF_CHECK(overwrite[i] > 0 && overwrite[i] < 1e9, SF_EINVAL,
                 "the target spacing needs three numbers > 0, got %g", overwrite[i]);
    SF_TRY(check_spacings(f));
    SF_TRY(sf_mem_alloc(&x, (size_t)f->n_cases, sizeof *x, SF_MEM_MISC));
    fill(g, s, f, overwrite, x, explain);
    sf_mem_free(x);
    for (int i = 0; i < 3; i++)
        SF_CHECK(g->shape[i] <= MAX_EDGE && g->shape_2d[i] <= MAX_EDGE, SF_EDATA,
                 "the median image would have %.0f voxels along one axis at spacing %g, %g, %g: "
                 "check the spacings of the dataset",
                 g->shape[i], g->spacing[0], g->spacing[1], g->spacing[2]);
    return SF_OK;
}
