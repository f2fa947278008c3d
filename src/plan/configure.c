#include "plan/budget.h"
#include "plan/planning.h"
#include "plan/topology.h"
#include <math.h>

/* Patch size, batch size and network of one configuration (nnunet-planning.md 8.5). */

static int first_of(int dim) { return 3 - dim; }

static double product(const double v[3], int dim)
{
    double p = 1;
    for (int i = first_of(dim); i < 3; i++) p *= v[i];
    return p;
}

/** Paper: the median shape. v2: a box of a fixed number of voxels with the aspect ratio that is
 *  isotropic in mm, clipped to the median shape. */
static void first_size(double out[3], const sf_plan_settings *s, int dim, const double spacing[3],
                       const double median[3])
{
    const sf_recipe_plan *r = &s->rule;
    const double edge = (double)(dim == 3 ? r->guess_volume_edge_3d : r->guess_volume_edge_2d);
    double a[3] = { 1, 1, 1 };
    out[0] = 1;
    for (int i = first_of(dim); i < 3; i++) a[i] = 1 / spacing[i];
    const double scale = pow(pow(edge, dim) / product(a, dim), 1.0 / dim);
    for (int i = first_of(dim); i < 3; i++)
        out[i] = r->initial_patch == SF_RULE_PAPER ? median[i]
                                                   : fmax(1, fmin(rint(a[i] * scale), median[i]));
}

/** A network without pooling has no decoder and cannot run: enlarge the axes that the spacing rule
 *  would pool until one pooling fits (decisions.md 12). */
static void pad_for_one_pooling(double size[3], const sf_recipe_plan *r, int dim,
                                const double spacing[3])
{
    double fine = INFINITY;
    int n = 0;
    for (int i = first_of(dim); i < 3; i++) fine = fmin(fine, spacing[i]);
    for (int i = first_of(dim); i < 3; i++) n += spacing[i] / fine < r->pool_ratio;
    const bool lone = n == 1 && r->pooling == SF_RULE_V2;
    const double edge = (double)(r->min_edge * (lone ? r->lone_axis_factor : 2));
    for (int i = first_of(dim); i < 3; i++)
        if (spacing[i] / fine < r->pool_ratio) size[i] = fmax(size[i], edge);
}

static void set_arch(sf_arch *a, const sf_plan_settings *s, int dim, const sf_topology *t)
{
    const sf_recipe_plan *r = &s->rule;
    const int64_t cap = dim == 3 ? r->max_features_3d : r->max_features_2d;
    *a = (sf_arch){ .net = s->net, .dim = dim, .n_stages = t->n_stages };
    a->conv_bias = r->conv_bias;
    a->eps = s->eps;
    a->slope = s->slope;
    int64_t features = r->base_features;
    for (int k = 0; k < t->n_stages; k++) {
        a->features[k] = features < cap ? features : cap;
        features = features < cap ? features * 2 : cap;
        a->blocks[k] = s->blocks[k];
        a->decoder_convs[k] = k < t->n_stages - 1 ? s->decoder_convs : 0;
        for (int i = 0; i < 3; i++) {
            a->kernel[k][i] = t->kernel[k][i];
            a->stride[k][i] = t->stride[k][i];
        }
    }
}

static void evaluate(sf_draft *d, sf_topology *t, const sf_plan_settings *s, const double size[3],
                     int classes)
{
    sf_topology_make(t, &s->rule, d->dim, d->spacing, size);
    for (int i = 0; i < 3; i++) d->patch[i] = t->patch[i];
    set_arch(&d->arch, s, d->dim, t);
    d->estimate = sf_budget_estimate(&d->arch, d->patch, classes);
}

static int64_t ref_batch(const sf_plan_settings *s, int dim)
{
    return dim == 3 ? s->rule.ref_batch_3d : s->rule.ref_batch_2d;
}

static bool too_big(const sf_draft *d, const sf_plan_settings *s)
{
    if (s->rule.reduce_at_ref_batch) return d->estimate > d->budget;
    return d->estimate / (double)ref_batch(s, d->dim) * (double)s->rule.min_batch > d->budget;
}

/** The axis whose patch is largest against the median shape; ties: the highest axis. */
static int axis_to_shrink(const sf_draft *d)
{
    int best = first_of(d->dim);
    for (int i = best + 1; i < 3; i++)
        if ((double)d->patch[i] / d->median[i] >= (double)d->patch[best] / d->median[best])
            best = i;
    return best;
}

/** One step: the divisor is that of the shrunk patch, so that 256 (64) goes to 224, not to 192. */
static sf_status shrink(sf_draft *d, sf_topology *t, const sf_plan_settings *s, int classes)
{
    const int ax = axis_to_shrink(d);
    double size[3] = { (double)d->patch[0], (double)d->patch[1], (double)d->patch[2] };
    sf_topology trial;
    size[ax] = fmax(1, size[ax] - (double)t->div[ax]);
    sf_topology_make(&trial, &s->rule, d->dim, d->spacing, size);
    size[ax] = (double)(d->patch[ax] - trial.div[ax]);
    SF_CHECK(size[ax] >= 1, SF_EINVAL, "a memory target of %g GB is too small for any network",
             s->memory_gb);
    evaluate(d, t, s, size, classes);
    SF_CHECK(t->n_stages > 1, SF_EINVAL,
             "a memory target of %g GB is too small: the patch would allow no pooling",
             s->memory_gb);
    d->reductions++;
    return SF_OK;
}

static void set_batch(sf_draft *d, const sf_plan_settings *s, double voxels)
{
    const sf_recipe_plan *r = &s->rule;
    const double in_patch = (double)d->patch[0] * (double)d->patch[1] * (double)d->patch[2];
    const double least = (double)r->min_batch;
    d->headroom = rint(d->budget / d->estimate * (double)ref_batch(s, d->dim));
    d->limit = rint(voxels * r->batch_cap / in_patch);
    double batch = d->headroom;
    if (r->batch_after_reduction == SF_RULE_PAPER && d->reductions > 0) batch = least;
    d->batch = (int64_t)fmax(fmin(batch, d->limit), least);
}

sf_status sf_draft_make(sf_draft *d, const sf_plan_settings *s, int dim, const double spacing[3],
                        const double median[3], double voxels, int classes)
{
    const sf_recipe_plan *r = &s->rule;
    sf_topology t;
    double size[3];
    *d = (sf_draft){ .dim = dim };
    for (int i = 0; i < 3; i++) {
        d->spacing[i] = i < first_of(dim) ? 0 : spacing[i];
        d->median[i] = i < first_of(dim) ? 1 : median[i];
    }
    d->budget = (dim == 3 ? r->ref_3d : r->ref_2d) * (s->memory_gb / r->memory_gb_ref);
    first_size(size, s, dim, d->spacing, d->median);
    evaluate(d, &t, s, size, classes);
    if (t.n_stages == 1) {
        d->padded = true;
        pad_for_one_pooling(size, r, dim, d->spacing);
        evaluate(d, &t, s, size, classes);
    }
    for (int i = 0; i < 3; i++) d->start[i] = d->patch[i];
    d->first = d->estimate;
    while (too_big(d, s)) SF_TRY(shrink(d, &t, s, classes));
    set_batch(d, s, voxels);
    return SF_OK;
}

static void explain_patch(json_t *explain, const sf_plan_settings *s, const char *name,
                          const sf_draft *d)
{
    const int at = first_of(d->dim);
    const bool paper = s->rule.initial_patch == SF_RULE_PAPER;
    sf_explain_add(
        explain, "first patch", name,
        d->padded ? "the median shape is too small for one pooling, so the patch is padded until "
                    "one fits"
        : paper   ? "median shape after resampling, rounded up to the divisor of the network"
                : "a fixed volume, isotropic in mm, clipped to the median shape, rounded up to the "
                  "divisor",
        d->padded ? "segfleet" : sf_explain_source(s->rule.initial_patch),
        json_pack("{s:o, s:o}", "median shape", sf_json_nums(d->median + at, d->dim), "spacing",
                  sf_json_nums(d->spacing + at, d->dim)),
        sf_json_ints(d->start + at, d->dim));
    sf_explain_add(explain, "patch size", name,
                   "the axis that is largest against the median shape loses one divisor at a time "
                   "until the estimate fits the budget",
                   "paper",
                   json_pack("{s:f, s:f, s:f, s:i, s:f}", "estimate of the first patch", d->first,
                             "estimate", d->estimate, "budget", d->budget, "steps", d->reductions,
                             "memory target in GB", s->memory_gb),
                   sf_json_ints(d->patch + at, d->dim));
}

static json_t *arch_summary(const sf_arch *a)
{
    json_t *strides = json_array(), *kernels = json_array();
    for (int k = 0; k < a->n_stages; k++) {
        int64_t st[3], ke[3];
        for (int i = 0; i < 3; i++) {
            st[i] = a->stride[k][i];
            ke[i] = a->kernel[k][i];
        }
        json_array_append_new(strides, sf_json_ints(st + first_of(a->dim), a->dim));
        json_array_append_new(kernels, sf_json_ints(ke + first_of(a->dim), a->dim));
    }
    return json_pack("{s:i, s:o, s:o, s:o}", "stages", a->n_stages, "features",
                     sf_json_ints(a->features, a->n_stages), "strides", strides, "kernels",
                     kernels);
}

void sf_draft_explain(json_t *explain, const sf_plan_settings *s, const char *name,
                      const sf_draft *d)
{
    const bool exact = s->rule.batch_after_reduction == SF_RULE_PAPER && d->reductions > 0;
    if (!explain) return;
    explain_patch(explain, s, name, d);
    sf_explain_add(explain, "network", name,
                   s->rule.pooling == SF_RULE_PAPER
                       ? "an axis is pooled while its map keeps at least min_edge voxels and its "
                         "spacing is within the ratio of the finest axis; kernel 1 along axes that "
                         "are coarser than the ratio"
                       : "axes of at least two min_edge voxels within the ratio of the finest such "
                         "axis are pooled (a lone axis needs three); kernel 1 along coarser axes",
                   sf_explain_source(s->rule.pooling),
                   json_pack("{s:I, s:f, s:f}", "min_edge", (json_int_t)s->rule.min_edge,
                             "pooling ratio", s->rule.pool_ratio, "kernel ratio",
                             s->rule.kernel_ratio),
                   arch_summary(&d->arch));
    sf_explain_add(explain, "batch size", name,
                   exact ? "the patch was reduced, so the batch is the smallest"
                         : "what the memory allows, at most a share of all voxels, at least the "
                           "smallest batch",
                   sf_explain_source(s->rule.batch_after_reduction),
                   json_pack("{s:f, s:f, s:I}", "by memory", d->headroom, "by dataset share",
                             d->limit, "smallest", (json_int_t)s->rule.min_batch),
                   json_integer(d->batch));
}

static double patch_voxels(const sf_draft *d)
{
    return (double)d->patch[0] * (double)d->patch[1] * (double)d->patch[2];
}

/** Axes that are much finer than the coarsest one grow alone. */
static void coarsen(double spacing[3], const sf_recipe_plan *r)
{
    const double max = fmax(spacing[0], fmax(spacing[1], spacing[2]));
    bool fine[3], any = false;
    for (int i = 0; i < 3; i++) {
        fine[i] = max / spacing[i] > r->lowres_axis_ratio;
        any = any || fine[i];
    }
    for (int i = 0; i < 3; i++)
        if (!any || fine[i]) spacing[i] *= 1 + r->lowres_step;
}

static bool covers(const sf_recipe_plan *r, double part)
{
    return r->lowres_stop == SF_RULE_PAPER ? part > r->lowres_cover : part >= r->lowres_cover;
}

sf_status sf_lowres_make(sf_lowres *out, const sf_plan_settings *s, const sf_plan_grid *g,
                         const sf_draft *full, double n_cases, int classes, json_t *explain)
{
    const sf_recipe_plan *r = &s->rule;
    const double all = product(g->shape, 3), part = patch_voxels(full) / all;
    double spacing[3] = { g->spacing[0], g->spacing[1], g->spacing[2] }, voxels = all, cover = part;
    *out = (sf_lowres){ .tries = 0 };
    if (part < r->cascade_trigger) do {
            double shape[3], median[3];
            coarsen(spacing, r);
            for (int i = 0; i < 3; i++) {
                shape[i] = g->spacing[i] / spacing[i] * g->shape[i];
                median[i] = fmax(1, rint(shape[i]));
            }
            voxels = product(shape, 3);
            SF_TRY(sf_draft_make(&out->draft, s, 3, spacing, median, voxels * n_cases, classes));
            cover = patch_voxels(&out->draft) / voxels;
            out->tries++;
        } while (!covers(r, cover));
    out->exists = out->tries > 0 && !(all / voxels < r->lowres_min_shrink);
    sf_explain_add(explain, "cascade", "3d_lowres",
                   "tried when the fullres patch covers less than the trigger of the median shape; "
                   "the spacing grows step by step until the patch covers enough; dropped when it "
                   "is hardly smaller",
                   sf_explain_source(r->lowres_stop),
                   json_pack("{s:f, s:f, s:f, s:f, s:i, s:f, s:f}", "fullres coverage", part,
                             "trigger", r->cascade_trigger, "step", r->lowres_step,
                             "needed coverage", r->lowres_cover, "steps", out->tries,
                             "lowres coverage", cover, "times smaller", all / voxels),
                   json_boolean(out->exists));
    return SF_OK;
}
