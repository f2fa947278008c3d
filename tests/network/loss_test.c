/* Loss: weights, targets, gradients against finite differences, ignore label, groups. */
#include "base/rng.h"
#include "tests/network/common.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 2, EDGE = 8, VOXELS = EDGE * EDGE * EDGE };

/* --- fixtures ------------------------------------------------------------------------------- */

static sf_network *make_share(sf_dtype dtype, int heads, int64_t batch, int64_t first, int64_t of)
{
    sf_arch arch = tst_small_arch(SF_NET_PLAIN);
    arch.n_stages = 3;
    const sf_network_options o = { .arch = &arch,
                                   .in_channels = 1,
                                   .heads = heads,
                                   .batch = batch,
                                   .patch = { EDGE, EDGE, EDGE },
                                   .dtype = dtype,
                                   .training = true,
                                   .deep_supervision = true,
                                   .threads = 1,
                                   .first = first,
                                   .whole = of };
    sf_network *n = NULL;
    tst_ok(sf_network_create(&n, &o));
    tst_fill_params(sf_network_params(n));
    return n;
}

static sf_network *make(sf_dtype dtype, int heads, int64_t batch)
{
    return make_share(dtype, heads, batch, 0, 0);
}

static void fill(double *x, int16_t *labels, int64_t n, int classes)
{
    sf_rng rng;
    const sf_rng_key key = { .seed = 7, .purpose = SF_RNG_TEST };
    sf_rng_init(&rng, &key);
    for (int64_t i = 0; i < n; i++) {
        x[i] = sf_rng_normal(&rng);
        labels[i] = (int16_t)sf_rng_below(&rng, classes);
    }
}

/** Region labels: whole = {1,2}, core = {2}. */
static const uint64_t region_of[3] = { 0, 1, 3 };
static int whole[2] = { 1, 2 }, core[1] = { 2 };
static void regions_make(tst_labels *l)
{
    tst_labels_make(l, 3);
    l->labels.has_regions = true;
    l->labels.n_heads = l->labels.n_eval = 2;
    l->labels.region_of = (uint64_t *)region_of;
    l->labels.eval[0].value = whole;
    l->labels.eval[0].count = 2;
    l->labels.eval[1].value = core;
    l->labels.eval[1].count = 1;
}

/* --- tests ---------------------------------------------------------------------------------- */

static void level_weights(void **state)
{
    (void)state;
    double w[5];
    sf_deep_supervision_weights(5, w);
    const double want[5] = { 8.0 / 15, 4.0 / 15, 2.0 / 15, 1.0 / 15, 0 };
    for (int i = 0; i < 5; i++) assert_true(fabs(w[i] - want[i]) < 1e-15);
    sf_deep_supervision_weights(1, w);
    assert_true(w[0] == 1.0);
    sf_deep_supervision_weights(2, w);
    assert_true(w[0] == 1.0 && w[1] == 0.0);
}

static void nearest_targets(void **state)
{
    (void)state;
    const int16_t src[7] = { 0, 1, 2, 3, 4, 5, 6 };
    int16_t dst[4];
    sf_target_downscale(src, (sf_shape){ 1, 1, 1, 1, 7 }, dst, (sf_shape){ 1, 1, 1, 1, 4 });
    const int16_t four[4] = { 0, 2, 4, 6 }, three[3] = { 0, 2, 4 }, halves[3] = { 1, 3, 5 };
    assert_memory_equal(dst, four, sizeof four);
    sf_target_downscale(src, (sf_shape){ 1, 1, 1, 1, 5 }, dst, (sf_shape){ 1, 1, 1, 1, 3 });
    assert_memory_equal(dst, three, sizeof three);
    sf_target_downscale(src, (sf_shape){ 1, 1, 1, 1, 6 }, dst, (sf_shape){ 1, 1, 1, 1, 3 });
    assert_memory_equal(dst, halves, sizeof halves);
}

/** dlogits of every level against central differences of the total in the logits. */
static void check_gradient(const tst_labels *l, const sf_loss_options *o)
{
    double x[BATCH * VOXELS];
    int16_t labels[BATCH * VOXELS];
    fill(x, labels, BATCH * VOXELS, l->labels.ignore == 3 ? 4 : 3);
    sf_network *n = make(SF_F64, l->labels.n_heads, BATCH);
    sf_loss_report r;
    tst_ok(sf_network_forward(n, x, BATCH));
    tst_ok(sf_loss_evaluate(n, labels, o, true, &r));
    double *z = (double *)sf_network_logits(n, 0);
    const double *g = sf_network_dlogits(n, 0);
    const int64_t count = BATCH * l->labels.n_heads * VOXELS;
    double *saved = malloc((size_t)count * sizeof *saved);
    memcpy(saved, g, (size_t)count * sizeof *saved);
    for (int64_t i = 3; i < count; i += 97) {
        const double keep = z[i], h = 1e-4;
        sf_loss_report up, down;
        z[i] = keep + h;
        tst_ok(sf_loss_evaluate(n, labels, o, false, &up));
        z[i] = keep - h;
        tst_ok(sf_loss_evaluate(n, labels, o, false, &down));
        z[i] = keep;
        const double slope = (up.total - down.total) / (2 * h);
        if (fabs(slope - saved[i]) > 1e-9)
            fail_msg("entry %d: difference %.12g, gradient %.12g", (int)i, slope, saved[i]);
    }
    free(saved);
    sf_network_destroy(&n);
}

static void gradients(void **state)
{
    (void)state;
    tst_labels soft, regions;
    tst_labels_make(&soft, 3);
    regions_make(&regions);
    for (int batch_dice = 0; batch_dice < 2; batch_dice++) {
        sf_loss_options o = tst_loss_options(&soft.labels, batch_dice, BATCH);
        check_gradient(&soft, &o);
        o.labels = &regions.labels;
        check_gradient(&regions, &o);
        regions.labels.ignore = 3;
        check_gradient(&regions, &o);
        regions.labels.ignore = -1;
    }
    /* label 2 becomes the ignore label of two classes */
    tst_labels ignoring;
    tst_labels_make(&ignoring, 2);
    ignoring.labels.ignore = 2;
    const sf_loss_options o = tst_loss_options(&ignoring.labels, true, BATCH);
    check_gradient(&ignoring, &o);
    tst_labels_free(&soft);
    tst_labels_free(&regions);
    tst_labels_free(&ignoring);
}

/** Terms of level 0 from their definition: softmax, one-hot, masks. */
static void definition(const sf_network *n, const int16_t *labels, int heads, int ignore,
                       double *ce, double *dice)
{
    const double *z = sf_network_logits(n, 0);
    double i_sum[8] = { 0 }, p_sum[8] = { 0 }, y_sum[8] = { 0 }, count = 0;
    *ce = 0;
    for (int64_t v = 0; v < BATCH * VOXELS; v++) {
        if (labels[v] == ignore) continue;
        const double *at = z + v / VOXELS * heads * VOXELS + v % VOXELS;
        double total = 0;
        for (int h = 0; h < heads; h++) total += exp(at[h * VOXELS]);
        for (int h = 0; h < heads; h++) {
            const double p = exp(at[h * VOXELS]) / total;
            i_sum[h] += labels[v] == h ? p : 0;
            p_sum[h] += p;
            y_sum[h] += labels[v] == h;
            *ce -= labels[v] == h ? log(p) : 0;
        }
        count += 1;
    }
    *ce /= count;
    *dice = 0;
    for (int h = 1; h < heads; h++)
        *dice -= (2 * i_sum[h] + 1e-5) / (p_sum[h] + y_sum[h] + 1e-5) / (heads - 1);
}

static void ignore_label(void **state)
{
    (void)state;
    double x[BATCH * VOXELS], ce, dice;
    int16_t labels[BATCH * VOXELS];
    tst_labels l;
    tst_labels_make(&l, 3);
    l.labels.ignore = 3;
    fill(x, labels, BATCH * VOXELS, 4);
    sf_network *n = make(SF_F64, 3, BATCH);
    sf_loss_report r;
    sf_loss_options o = tst_loss_options(&l.labels, true, BATCH);
    tst_ok(sf_network_forward(n, x, BATCH));
    tst_ok(sf_loss_evaluate(n, labels, &o, true, &r));
    definition(n, labels, 3, 3, &ce, &dice);
    assert_true(fabs(r.ce[0] - ce) < 1e-12 && fabs(r.dice[0] - dice) < 1e-12);
    /* everything ignored: no cross-entropy, finite gradient */
    for (int i = 0; i < BATCH * VOXELS; i++) labels[i] = 3;
    tst_ok(sf_loss_evaluate(n, labels, &o, true, &r));
    assert_true(r.ce[0] == 0.0 && isfinite(r.total));
    const double *g = sf_network_dlogits(n, 0);
    for (int i = 0; i < BATCH * 3 * VOXELS; i++) assert_true(g[i] == 0.0);
    sf_network_destroy(&n);
    tst_labels_free(&l);
}

/** With regions and an ignore label the cross-entropy is divided by voxels, not voxels x regions.
 */
static void region_mean(void **state)
{
    (void)state;
    double x[BATCH * VOXELS];
    int16_t labels[BATCH * VOXELS];
    tst_labels l;
    regions_make(&l);
    fill(x, labels, BATCH * VOXELS, 3);
    sf_network *n = make(SF_F64, 2, BATCH);
    const sf_loss_options o = tst_loss_options(&l.labels, false, BATCH);
    sf_loss_report plain, masked;
    tst_ok(sf_network_forward(n, x, BATCH));
    tst_ok(sf_loss_evaluate(n, labels, &o, false, &plain));
    l.labels.ignore = 3;
    tst_ok(sf_loss_evaluate(n, labels, &o, false, &masked));
    assert_true(fabs(masked.ce[0] - 2.0 * plain.ce[0]) < 1e-12);
    assert_true(fabs(masked.dice[0] - plain.dice[0]) < 1e-15);
    sf_network_destroy(&n);
    tst_labels_free(&l);
}

/* Two "ranks" with one sample each, run one after the other: the hook adds the other one's row. */
typedef struct {
    double row[2][SF_MAX_STAGES][64];
    int rank, level;
    bool record;
} group;
static sf_status add_other(void *user, double *rows, int64_t width)
{
    group *g = user;
    const int from = g->record ? g->rank : 1 - g->rank;
    for (int64_t i = 0; i < width; i++) {
        if (g->record)
            g->row[from][g->level][i] = rows[from * width + i];
        else
            rows[from * width + i] = g->row[from][g->level][i];
    }
    g->level++;
    return SF_OK;
}

static void check_group(bool batch_dice)
{
    double x[BATCH * VOXELS];
    int16_t labels[BATCH * VOXELS];
    tst_labels l;
    tst_labels_make(&l, 3);
    fill(x, labels, BATCH * VOXELS, 3);
    sf_network *whole_net = make(SF_F64, 3, BATCH);
    sf_network *part[2] = { make_share(SF_F64, 3, 1, 0, BATCH),
                            make_share(SF_F64, 3, 1, 1, BATCH) };
    sf_loss_options o = tst_loss_options(&l.labels, batch_dice, BATCH);
    sf_loss_report want, got;
    group g = { .record = true };
    tst_ok(sf_network_forward(whole_net, x, BATCH));
    tst_ok(sf_loss_evaluate(whole_net, labels, &o, true, &want));
    o.gather = add_other;
    o.gather_user = &g;
    for (int pass = 0; pass < 2; pass++, g.record = false)
        for (g.rank = 0; g.rank < 2; g.rank++) {
            g.level = 0;
            sf_network *n = part[g.rank];
            tst_ok(sf_network_forward(n, x + g.rank * VOXELS, 1));
            tst_ok(sf_loss_evaluate(n, labels + g.rank * VOXELS, &o, true, &got));
            if (g.record) continue;
            assert_memory_equal(&got, &want, sizeof got); /* the very same bits */
            const double *a = sf_network_dlogits(n, 0);
            const double *b =
                (const double *)sf_network_dlogits(whole_net, 0) + g.rank * 3 * VOXELS;
            assert_memory_equal(a, b, 3 * VOXELS * sizeof *a);
        }
    sf_network_destroy(&whole_net);
    for (int r = 0; r < 2; r++) sf_network_destroy(&part[r]);
    tst_labels_free(&l);
}

static void groups(void **state)
{
    (void)state;
    check_group(true);
    check_group(false);
}

static void online_counts(void **state)
{
    (void)state;
    double x[BATCH * VOXELS], tp[2] = { 0 }, fp[2] = { 0 }, fn[2] = { 0 };
    int16_t labels[BATCH * VOXELS];
    tst_labels l;
    tst_labels_make(&l, 3);
    l.labels.ignore = 3;
    fill(x, labels, BATCH * VOXELS, 4);
    sf_network *n = make(SF_F64, 3, BATCH);
    tst_ok(sf_network_forward(n, x, BATCH));
    double *z = (double *)sf_network_logits(n, 0); /* better known outputs than the network's */
    for (int i = 0; i < BATCH * 3 * VOXELS; i++) z[i] = sin(1.7 * i);
    tst_ok(sf_loss_online_counts(n, labels, &l.labels, tp, fp, fn));
    double want[3] = { 0 };
    for (int64_t v = 0; v < BATCH * VOXELS; v++) {
        if (labels[v] == 3) continue;
        const double *at = z + v / VOXELS * 3 * VOXELS + v % VOXELS;
        const bool two = at[2 * VOXELS] > at[0] && at[2 * VOXELS] > at[VOXELS];
        want[0] += two && labels[v] == 2;
        want[1] += two && labels[v] != 2;
        want[2] += !two && labels[v] == 2;
    }
    assert_true(tp[1] == want[0] && fp[1] == want[1] && fn[1] == want[2]);
    assert_true(want[0] > 0 && want[1] > 0 && want[2] > 0);
    sf_network_destroy(&n);
    tst_labels_free(&l);
}

static void bad_input(void **state)
{
    (void)state;
    double x[BATCH * VOXELS];
    int16_t labels[BATCH * VOXELS];
    tst_labels l;
    tst_labels_make(&l, 3);
    fill(x, labels, BATCH * VOXELS, 3);
    sf_network *n = make(SF_F64, 3, BATCH);
    sf_loss_options o = tst_loss_options(&l.labels, true, BATCH);
    sf_loss_report r;
    assert_int_equal(sf_loss_evaluate(n, labels, &o, true, &r), SF_EINVAL); /* no forward yet */
    tst_ok(sf_network_forward(n, x, BATCH));
    labels[5] = 3;
    assert_int_equal(sf_loss_evaluate(n, labels, &o, true, &r), SF_EDATA);
    labels[5] = -1; /* outside the mask: background */
    tst_ok(sf_loss_evaluate(n, labels, &o, true, &r));
    o.global_batch = 1;
    assert_int_equal(sf_loss_evaluate(n, labels, &o, true, &r), SF_EINVAL);
    l.labels.n_heads = 4;
    o.global_batch = BATCH;
    assert_int_equal(sf_loss_evaluate(n, labels, &o, true, &r), SF_EINVAL);
    sf_network_destroy(&n);
    tst_labels_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(level_weights), cmocka_unit_test(nearest_targets),
        cmocka_unit_test(gradients),     cmocka_unit_test(ignore_label),
        cmocka_unit_test(region_mean),   cmocka_unit_test(groups),
        cmocka_unit_test(online_counts), cmocka_unit_test(bad_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
