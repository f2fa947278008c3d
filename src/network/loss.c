#include "network/loss.h"
#include "kernels/loss.h"
#include "network/loss_work.h"
#include <inttypes.h>
#include <string.h>

/* --- levels ----------------------------------------------------------------------------------- */

void sf_deep_supervision_weights(int levels, double *w)
{
    double sum = 0.0;
    for (int i = 0; i < levels; i++) {
        w[i] = i == levels - 1 && levels > 1 ? 0.0 : 1.0 / (double)(INT64_C(1) << i);
        sum += w[i];
    }
    for (int i = 0; i < levels; i++) w[i] /= sum;
}

/** floor((d + 0.5) * from / to), in integers; never beyond the last index. */
static int64_t nearest(int64_t d, int64_t from, int64_t to)
{
    const int64_t i = (2 * d + 1) * from / (2 * to);
    return i < from ? i : from - 1;
}

void sf_target_downscale(const int16_t *src, sf_shape in, int16_t *dst, sf_shape out)
{
    for (int64_t n = 0; n < out.n; n++)
        for (int64_t z = 0; z < out.d; z++)
            for (int64_t y = 0; y < out.h; y++) {
                const int64_t row = (n * in.d + nearest(z, in.d, out.d)) * in.h;
                const int16_t *from = src + (row + nearest(y, in.h, out.h)) * in.w;
                for (int64_t x = 0; x < out.w; x++) *dst++ = from[nearest(x, in.w, out.w)];
            }
}

/* --- workspace -------------------------------------------------------------------------------- */

typedef struct {
    double *sums;    /* [n][slices][terms] */
    double *sample;  /* [whole batch][terms]: sums over slices */
    double *dice;    /* [whole batch] */
    double *group;   /* [terms]: sums over the batch */
    double *a, *b;   /* [n][heads]: dLoss/dI, dLoss/dP */
    int16_t *labels; /* of this level; level 0 uses the caller's */
} work;

static int64_t place(int64_t *at, int64_t bytes)
{
    const int64_t here = *at;
    *at += (bytes + 63) / 64 * 64;
    return here;
}

/** Lay out the workspace of one level; returns its size. base may be NULL to ask only that. */
static int64_t lay_out(const sf_network *net, int level, char *base, work *w)
{
    const sf_shape s = net->level[level].shape;
    const int64_t d = (int64_t)sizeof(double), terms = sf_loss_terms(s.c);
    const int64_t whole = net->whole > 0 ? net->whole : s.n;
    int64_t at = 0;
    const int64_t sums = place(&at, s.n * sf_slices(s) * terms * d);
    const int64_t sample = place(&at, whole * terms * d), dice = place(&at, whole * d);
    const int64_t group = place(&at, terms * d);
    const int64_t a = place(&at, s.n * s.c * d), b = place(&at, s.n * s.c * d);
    const int64_t labels = place(&at, level ? s.n * sf_voxels(s) * (int64_t)sizeof(int16_t) : 0);
    if (base)
        *w = (work){ (double *)(base + sums),   (double *)(base + sample), (double *)(base + dice),
                     (double *)(base + group),  (double *)(base + a),      (double *)(base + b),
                     (int16_t *)(base + labels) };
    return at;
}

int64_t sf_loss_work_bytes(const sf_network *net)
{
    int64_t most = 0;
    for (int i = 0; i < net->n_levels; i++) {
        const int64_t bytes = lay_out(net, i, NULL, NULL);
        if (bytes > most) most = bytes;
    }
    return most;
}

/* --- one level -------------------------------------------------------------------------------- */

typedef struct {
    sf_network *net;
    const sf_loss_options *opt;
    work w;
    sf_loss_desc desc;
    const int16_t *labels;
    const void *logits;
    int first;       /* first head that counts in the Dice: background is left out of softmax */
    double ce, dice; /* terms of the loss */
    double ce_scale; /* 1 / what the cross-entropy sum is divided by */
} level_loss;

static void begin_level(level_loss *l, sf_network *net, int level, const int16_t *labels,
                        const sf_loss_options *opt)
{
    const sf_labels *lab = opt->labels;
    l->net = net;
    l->opt = opt;
    lay_out(net, level, sf_graph_ptr(net, net->loss_work), &l->w);
    sf_shape full = net->level[0].shape, shape = net->level[level].shape;
    full.n = shape.n = net->used;
    l->desc = (sf_loss_desc){ .dtype = net->dtype,
                              .shape = shape,
                              .sigmoid = lab->has_regions,
                              .region_of = lab->region_of,
                              .n_labels = lab->n_labels,
                              .ignore = lab->ignore >= 0 ? lab->ignore : SF_NO_IGNORE,
                              .threads = net->threads };
    sf_graph_own_slices(net, shape, &l->desc.slice0, &l->desc.slice1);
    l->labels = labels;
    if (level > 0) {
        sf_target_downscale(labels, full, l->w.labels, shape);
        l->labels = l->w.labels;
    }
    l->logits = sf_network_logits(net, level);
    l->first = lab->has_regions ? 0 : 1;
}

/** The rows of our own samples. */
static const double *own_rows(const level_loss *l)
{
    return l->w.sample + l->net->first * sf_loss_terms(l->desc.shape.c);
}

/** Sums over slices, one tree per sample and term, of all samples of the batch. */
static sf_status sum_samples(level_loss *l)
{
    const sf_shape s = l->desc.shape;
    const int64_t terms = sf_loss_terms(s.c), slices = sf_slices(s);
    double *row = l->w.sample + l->net->first * terms;
    sf_loss_forward(&l->desc, l->logits, l->labels, l->w.sums);
    SF_TRY(sf_graph_share(l->net, s, l->w.sums, s.n, terms * (int64_t)sizeof(double), 0));
    for (int64_t n = 0; n < s.n; n++)
        for (int64_t t = 0; t < terms; t++)
            *row++ = sf_tree_sum(l->w.sums + n * slices * terms + t, slices, terms);
    if (!l->opt->gather) return SF_OK;
    return l->opt->gather(l->opt->gather_user, l->w.sample, terms);
}

/** dc = (2I + s) / max(P + G + s, 1e-8) and its derivatives. */
typedef struct {
    double dc, d_i, d_p;
} soft_dice;
static soft_dice dice_of(const double ipg[3], double smooth)
{
    const double top = 2.0 * ipg[0] + smooth, below = ipg[1] + ipg[2] + smooth;
    const double bottom = below > 1e-8 ? below : 1e-8;
    const double d_p = below > 1e-8 ? -top / (bottom * bottom) : 0.0;
    return (soft_dice){ top / bottom, 2.0 / bottom, d_p };
}

/** Sum of dc over the batch (sample Dice). */
static double sample_dice_sum(const level_loss *l)
{
    const int64_t heads = l->desc.shape.c, terms = sf_loss_terms(heads);
    const int64_t whole = sf_graph_whole_batch(l->net);
    double *dc = l->w.dice;
    for (int64_t n = 0; n < whole; n++) {
        dc[n] = 0.0;
        for (int64_t h = l->first; h < heads; h++)
            dc[n] += dice_of(l->w.sample + n * terms + 2 + 3 * h, l->opt->smooth).dc;
    }
    return sf_tree_sum(dc, whole, 1);
}

static void sum_batch(level_loss *l)
{
    const int64_t terms = sf_loss_terms(l->desc.shape.c), whole = sf_graph_whole_batch(l->net);
    for (int64_t t = 0; t < terms; t++) l->w.group[t] = sf_tree_sum(l->w.sample + t, whole, terms);
}

/* Sigmoid: the mean over voxels and regions, but with an ignore label the sum over valid voxels
   and regions is divided by the number of valid voxels alone (nnunet-training.md 3). */
static void finish_ce(level_loss *l)
{
    const bool masked = l->desc.ignore != SF_NO_IGNORE;
    double count = l->w.group[1];
    if (l->desc.sigmoid && !masked) count *= (double)l->desc.shape.c;
    l->ce_scale = count > 0.0 ? 1.0 / count : 0.0;
    l->ce = l->w.group[0] * l->ce_scale;
}

static double dice_entries(const level_loss *l)
{
    const double classes = (double)(l->desc.shape.c - l->first);
    return l->opt->batch_dice ? classes : classes * (double)l->opt->global_batch;
}

static void finish_dice(level_loss *l)
{
    double sum = 0.0;
    if (!l->opt->batch_dice) {
        sum = sample_dice_sum(l);
    } else {
        for (int64_t h = l->first; h < l->desc.shape.c; h++)
            sum += dice_of(l->w.group + 2 + 3 * h, l->opt->smooth).dc;
    }
    l->dice = -sum / dice_entries(l);
}

static sf_status evaluate_level(level_loss *l)
{
    SF_TRY(sum_samples(l));
    sum_batch(l);
    finish_ce(l);
    finish_dice(l);
    return SF_OK;
}

/** Coefficients a = dLoss/dI, b = dLoss/dP of every (sample, head), times the level's weight. */
static void dice_coefficients(level_loss *l, double weight)
{
    const sf_shape s = l->desc.shape;
    const int64_t terms = sf_loss_terms(s.c);
    const double scale = -weight * l->opt->weight_dice / dice_entries(l);
    memset(l->w.a, 0, (size_t)(s.n * s.c) * sizeof *l->w.a);
    memset(l->w.b, 0, (size_t)(s.n * s.c) * sizeof *l->w.b);
    for (int64_t n = 0; n < s.n; n++)
        for (int64_t h = l->first; h < s.c; h++) {
            const double *of = l->opt->batch_dice ? l->w.group : own_rows(l) + n * terms;
            const soft_dice d = dice_of(of + 2 + 3 * h, l->opt->smooth);
            l->w.a[n * s.c + h] = scale * d.d_i;
            l->w.b[n * s.c + h] = scale * d.d_p;
        }
}

static void level_gradient(level_loss *l, double weight, void *dlogits)
{
    dice_coefficients(l, weight);
    const double ce = weight * l->opt->weight_ce * l->ce_scale;
    sf_loss_backward(&l->desc, l->logits, l->labels, ce, l->w.a, l->w.b, dlogits);
}

/* --- all levels ------------------------------------------------------------------------------- */

static sf_status check_options(const sf_network *net, const sf_loss_options *opt)
{
    const sf_labels *lab = opt->labels;
    SF_CHECK(net->loss_work >= 0, SF_EINVAL, "loss: the network was not built for training");
    SF_CHECK(net->used > 0, SF_EINVAL, "loss: no forward pass yet");
    SF_CHECK(lab->n_heads == net->heads, SF_EINVAL,
             "loss: the labels need %d heads, the network has %" PRId64, lab->n_heads, net->heads);
    SF_CHECK(net->heads >= 2 || lab->has_regions, SF_EINVAL,
             "loss: no foreground class beside the background");
    SF_CHECK(opt->global_batch == sf_graph_whole_batch(net), SF_EINVAL,
             "loss: the group's batch is %" PRId64 ", not %" PRId64, sf_graph_whole_batch(net),
             opt->global_batch);
    SF_CHECK((opt->gather != NULL) == (net->whole > 0), SF_EINVAL,
             "loss: a network of a group without a group, or the reverse");
    return SF_OK;
}

/** The kernels index tables by label: nothing outside may come in. */
static sf_status check_labels(const sf_network *net, const int16_t *labels, const sf_labels *lab)
{
    const int limit = lab->has_regions ? lab->n_labels : lab->n_heads;
    const int64_t count = net->used * sf_voxels(net->level[0].shape);
    for (int64_t i = 0; i < count; i++)
        SF_CHECK(labels[i] < limit || labels[i] == lab->ignore, SF_EDATA,
                 "label %d in a training patch, but dataset.json declares only 0 to %d", labels[i],
                 limit - 1);
    return SF_OK;
}

int64_t sf_loss_gathered(const sf_network *net)
{
    return net->n_levels * sf_loss_terms(net->heads);
}

sf_status sf_loss_check(const sf_network *net, const int16_t *labels, const sf_loss_options *opt)
{
    SF_TRY(check_options(net, opt));
    return check_labels(net, labels, opt->labels);
}

sf_status sf_loss_evaluate(sf_network *net, const int16_t *labels, const sf_loss_options *opt,
                           bool grad, sf_loss_report *report)
{
    SF_TRY(sf_loss_check(net, labels, opt));
    double weight[SF_MAX_LEVELS];
    sf_deep_supervision_weights(net->n_levels, weight);
    memset(report, 0, sizeof *report);
    for (int i = 0; i < net->n_levels; i++) {
        level_loss l;
        begin_level(&l, net, i, labels, opt);
        SF_TRY(evaluate_level(&l));
        report->ce[i] = l.ce;
        report->dice[i] = l.dice;
        if (weight[i] > 0.0)
            report->total += weight[i] * (opt->weight_ce * l.ce + opt->weight_dice * l.dice);
        if (!grad) continue;
        sf_network_skip_level(net, i, !(weight[i] > 0.0));
        if (weight[i] > 0.0) level_gradient(&l, weight[i], sf_network_dlogits(net, i));
    }
    return SF_OK;
}

/* --- online counts ---------------------------------------------------------------------------- */

static double logit(const sf_network *net, const void *z, int64_t at)
{
    return net->dtype == SF_F64 ? ((const double *)z)[at] : (double)((const float *)z)[at];
}

/** Arg max over heads at one voxel; the lowest wins ties. */
static int best_head(const sf_network *net, const void *z, int64_t at, int64_t heads,
                     int64_t voxels)
{
    int best = 0;
    for (int h = 1; h < heads; h++)
        if (logit(net, z, at + h * voxels) > logit(net, z, at + best * voxels)) best = h;
    return best;
}

static bool holds(const sf_labels *lab, int e, int label)
{
    if (label < 0) label = 0;
    if (lab->has_regions) return label < lab->n_labels && (lab->region_of[label] >> e & 1) != 0;
    for (int i = 0; i < lab->eval[e].count; i++)
        if (lab->eval[e].value[i] == label) return true;
    return false;
}

static void count_voxel(bool predicted, bool real, double *tp, double *fp, double *fn)
{
    if (predicted && real) *tp += 1.0;
    if (predicted && !real) *fp += 1.0;
    if (!predicted && real) *fn += 1.0;
}

sf_status sf_loss_online_counts(const sf_network *net, const int16_t *labels, const sf_labels *lab,
                                double *tp, double *fp, double *fn)
{
    const sf_shape s = net->level[0].shape;
    const void *z = sf_network_logits(net, 0);
    const int64_t voxels = sf_voxels(s);
    SF_CHECK(lab->n_heads == s.c, SF_EINVAL,
             "online counts: %d heads in the labels, %" PRId64 " in the network", lab->n_heads,
             s.c);
    int64_t lo, hi;
    sf_graph_own_slices(net, s, &lo, &hi); /* the ranks' counts are added */
    const int64_t per = voxels / sf_slices(s);
    for (int64_t n = 0; n < net->used; n++)
        for (int64_t v = lo * per; v < hi * per; v++) {
            const int label = labels[n * voxels + v];
            if (lab->ignore >= 0 && label == lab->ignore) continue;
            const int64_t at = n * s.c * voxels + v;
            const int best = lab->has_regions ? 0 : best_head(net, z, at, s.c, voxels);
            for (int e = 0; e < lab->n_eval; e++) {
                const bool predicted =
                    lab->has_regions ? logit(net, z, at + e * voxels) > 0.0 : holds(lab, e, best);
                count_voxel(predicted, holds(lab, e, label), &tp[e], &fp[e], &fn[e]);
            }
        }
    return SF_OK;
}
