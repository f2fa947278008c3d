/* The peer's own networks: outputs, losses, gradients, steps (oracle/network, every folder there).
 * Argument: fast or exact (float, the kernels that --conv picks) or double (the reference kernels).
 */
#include "base/path.h"
#include "plan/plans.h"
#include "tests/network/common.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char name[128];
    sf_dtype dtype;
    sf_plans *plans;
    sf_dataset *dataset;
    const sf_config *config;
    tst_h5 *h5;
    sf_network *net;
    int64_t batch, voxels;
    void *input;
    int16_t *seg;
} context;

static sf_dtype mode = SF_F32;
static bool exact;

/* --- comparison --------------------------------------------------------------------------- */

static double distance(const context *c, const void *got, const float *want, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = fabs(tst_get(c->dtype, got, i) - (double)want[i]);
        if (!(d <= most)) most = d;
    }
    return most;
}

static void demand(const context *c, const char *what, double got, double limit)
{
    printf("    %-28s %-24s %.3e (limit %.0e)\n", c->name, what, got, limit);
    if (!(got <= limit)) fail_msg("%s %s: %g, limit %g", c->name, what, got, limit);
}

static double number(const context *c, const char *name)
{
    int ndim;
    int64_t dims[8];
    double *v = tst_h5_f64(c->h5, name, &ndim, dims);
    const double x = v[0];
    free(v);
    return x;
}

/* --- setting up ----------------------------------------------------------------------------- */

static void load_params(const context *c, sf_params *p, const char *group)
{
    for (int i = 0; i < p->count; i++) {
        char name[160];
        int ndim;
        int64_t dims[8];
        snprintf(name, sizeof name, "%s/%s", group, p->item[i].name);
        float *v = tst_h5_f32(c->h5, name, &ndim, dims);
        assert_int_equal(ndim, p->item[i].ndim);
        for (int d = 0; d < ndim; d++) assert_int_equal(dims[d], p->item[i].dim[d]);
        for (int64_t k = 0; k < p->item[i].count; k++)
            tst_set(p->dtype, p->item[i].value, k, (double)v[k]);
        free(v);
    }
}

static sf_network *make_network(const context *c, bool training, int64_t in_channels)
{
    sf_network_options o = { .arch = &c->config->arch,
                             .in_channels = in_channels,
                             .heads = c->dataset->labels.n_heads,
                             .batch = c->batch,
                             .dtype = c->dtype,
                             .training = training,
                             .deep_supervision = true,
                             .exact = exact,
                             .threads = 2 };
    memcpy(o.patch, c->config->patch, sizeof o.patch);
    sf_network *net = NULL;
    tst_ok(sf_network_create(&net, &o));
    return net;
}

static void load_case(context *c, const char *name)
{
    char path[512];
    *c = (context){ .dtype = mode };
    snprintf(c->name, sizeof c->name, "%s", name);
    snprintf(path, sizeof path, "oracle/network/%s/plans.json", name);
    tst_ok(sf_plans_load(&c->plans, tst_shared(path)));
    snprintf(path, sizeof path, "oracle/network/%s/dataset.json", name);
    tst_ok(sf_dataset_from_json(&c->dataset, tst_shared(path)));
    snprintf(path, sizeof path, "oracle/network/%s/oracle.h5", name);
    c->h5 = tst_h5_open(tst_shared(path));
    c->config = &c->plans->config[0];
    int ndim;
    int64_t dims[8];
    float *x = tst_h5_f32(c->h5, "input", &ndim, dims);
    c->batch = dims[0];
    c->voxels = 1;
    for (int d = 2; d < ndim; d++) c->voxels *= dims[d];
    const int64_t count = c->batch * dims[1] * c->voxels;
    c->input = malloc((size_t)count * sizeof(double));
    for (int64_t i = 0; i < count; i++) tst_set(c->dtype, c->input, i, (double)x[i]);
    free(x);
    c->net = make_network(c, true, dims[1]);
    c->seg = tst_h5_i16(c->h5, "seg", &ndim, dims);
    load_params(c, sf_network_params(c->net), "params_init");
}

static void free_case(context *c)
{
    sf_network_destroy(&c->net);
    sf_plans_destroy(&c->plans);
    sf_dataset_destroy(&c->dataset);
    tst_h5_close(c->h5);
    free(c->input);
    free(c->seg);
}

/* --- the checks ------------------------------------------------------------------------------ */

static sf_loss_options loss_options(const context *c)
{
    const sf_recipe *r = c->plans->recipe;
    return (sf_loss_options){ .labels = &c->dataset->labels,
                              .batch_dice = c->config->batch_dice,
                              .smooth = r->train.dice_smooth,
                              .weight_ce = r->train.weight_ce,
                              .weight_dice = r->train.weight_dice,
                              .global_batch = c->batch };
}

static void check_facts(const context *c)
{
    const sf_params *p = sf_network_params(c->net);
    assert_int_equal(p->total, (int64_t)tst_h5_attr_num(c->h5, "/", "num_parameters"));
    double w[16];
    int count;
    double *want = tst_h5_attr_nums(c->h5, "/", "deep_supervision_weights", &count);
    assert_int_equal(count, sf_network_levels(c->net));
    sf_deep_supervision_weights(count, w);
    for (int i = 0; i < count; i++) assert_true(fabs(w[i] - want[i]) < 1e-12);
    free(want);
}

static void check_outputs(const context *c)
{
    double most = 0;
    for (int level = 0; level < sf_network_levels(c->net); level++) {
        char name[32];
        int ndim;
        int64_t dims[8];
        sf_shape s;
        snprintf(name, sizeof name, "output/%d", level);
        float *want = tst_h5_f32(c->h5, name, &ndim, dims);
        sf_network_level_shape(c->net, level, &s);
        assert_int_equal(dims[1], s.c);
        assert_int_equal(dims[ndim - 1], s.w);
        const int64_t n = s.n * s.c * sf_voxels(s);
        const double d = distance(c, sf_network_logits(c->net, level), want, n);
        if (!(d <= most)) most = d;
        free(want);
    }
    demand(c, "logits", most, 2e-4);
}

static void check_losses(const context *c, const sf_loss_report *r)
{
    static const char *const group[3] = { "loss_per_head", "ce_part", "dice_part" };
    double most = fabs(r->total - number(c, "loss"));
    for (int g = 0; g < 3; g++)
        for (int i = 0; i < sf_network_levels(c->net); i++) {
            char name[32];
            snprintf(name, sizeof name, "%s/%d", group[g], i);
            if (!tst_h5_has(c->h5, name)) continue;
            const double got = g == 0 ? r->ce[i] + r->dice[i] : g == 1 ? r->ce[i] : r->dice[i];
            const double d = fabs(got - number(c, name));
            if (!(d <= most)) most = d;
        }
    demand(c, "loss", most, 1e-5);
}

static void check_absent(const context *c)
{
    char *text = tst_h5_attr_str(c->h5, "/", "params_without_gradient");
    const sf_params *p = sf_network_params(c->net);
    for (int i = 0; i < p->count; i++) {
        char quoted[128];
        snprintf(quoted, sizeof quoted, "\"%s\"", p->item[i].name);
        assert_int_equal(!p->item[i].has_grad, strstr(text, quoted) != NULL);
    }
    free(text);
}

static void check_gradients(const context *c)
{
    const sf_params *p = sf_network_params(c->net);
    double error = 0, largest = 0;
    for (int i = 0; i < p->count; i++) {
        char name[160];
        int ndim;
        int64_t dims[8];
        if (!p->item[i].has_grad) continue;
        snprintf(name, sizeof name, "grad/%s", p->item[i].name);
        float *want = tst_h5_f32(c->h5, name, &ndim, dims);
        const double d = distance(c, p->item[i].grad, want, p->item[i].count);
        if (!(d <= error)) error = d;
        for (int64_t k = 0; k < p->item[i].count; k++)
            largest = fmax(largest, fabs((double)want[k]));
        free(want);
    }
    /* the stored gradients are float: at a kink of the leaky ReLU they are off by themselves */
    const double own = tst_h5_attr_num(c->h5, "/", "fp32_vs_fp64_grad_max_rel_of_total");
    demand(c, "gradient / largest", error / largest,
           c->dtype == SF_F64 ? 1e-5 + own
           : exact            ? 1e-3
                              : 2e-3);
    const double norm = sf_optim_grad_norm(p, 2);
    const double want = number(c, "grad_norm_before_clip");
    demand(c, "gradient norm, relative", fabs(norm - want) / want, 1e-4);
}

static void check_params(const context *c, const char *group, double limit)
{
    const sf_params *p = sf_network_params(c->net);
    double most = 0;
    for (int i = 0; i < p->count; i++) {
        char name[160];
        int ndim;
        int64_t dims[8];
        snprintf(name, sizeof name, "%s/%s", group, p->item[i].name);
        float *want = tst_h5_f32(c->h5, name, &ndim, dims);
        const double d = distance(c, p->item[i].value, want, p->item[i].count);
        if (!(d <= most)) most = d;
        free(want);
    }
    demand(c, group, most, limit);
}

/** One step from the gradients that are there, then four whole ones. The reference kernels are
 * slow: in double only the first. */
static void check_steps(context *c, const sf_loss_options *o)
{
    int ndim;
    int64_t dims[8];
    double *want = tst_h5_f64(c->h5, "loss_steps", &ndim, dims), most = 0;
    const sf_optim optim = tst_optim();
    sf_optim_step(&optim, 0.01, sf_network_params(c->net), 2, NULL);
    check_params(c, "params_step1", 1e-5);
    for (int step = 1; step < 5 && c->dtype == SF_F32; step++) {
        sf_loss_report r;
        tst_ok(sf_network_forward(c->net, c->input, c->batch));
        tst_ok(sf_loss_evaluate(c->net, c->seg, o, true, &r));
        most = fmax(most, fabs(r.total - want[step]));
        tst_ok(sf_network_backward(c->net));
        sf_optim_step(&optim, 0.01, sf_network_params(c->net), 2, NULL);
    }
    free(want);
    if (c->dtype == SF_F32) check_params(c, "params_step5", 1e-3);
    demand(c, "loss of the steps", most, 1e-4);
}

/** The peer's weights after five steps in a network without deep supervision. */
static void check_inference(const context *c)
{
    int ndim;
    int64_t dims[8];
    float *want = tst_h5_f32(c->h5, "output_step5_no_ds", &ndim, dims);
    sf_network *net = make_network(c, false, c->net ? c->plans->n_channels : 0);
    load_params(c, sf_network_params(net), "params_step5");
    assert_int_equal(sf_network_levels(net), 1);
    tst_ok(sf_network_forward(net, c->input, c->batch));
    const int64_t n = c->batch * dims[1] * c->voxels;
    demand(c, "output_step5_no_ds", distance(c, sf_network_logits(net, 0), want, n), 2e-4);
    sf_network_destroy(&net);
    free(want);
}

static void check_online(context *c, const sf_loss_options *o)
{
    static const char *const set[3] = { "tp_hard", "fp_hard", "fn_hard" };
    double count[3][64] = { { 0 } }, most = 0;
    sf_loss_report r;
    load_params(c, sf_network_params(c->net), "params_step5");
    tst_ok(sf_network_forward(c->net, c->input, c->batch));
    tst_ok(sf_loss_evaluate(c->net, c->seg, o, false, &r));
    demand(c, "online loss", fabs(r.total - number(c, "online_eval_step5/loss")), 1e-5);
    tst_ok(sf_loss_online_counts(c->net, c->seg, o->labels, count[0], count[1], count[2]));
    for (int s = 0; s < 3; s++) {
        char name[64];
        int ndim;
        int64_t dims[8];
        snprintf(name, sizeof name, "online_eval_step5/%s", set[s]);
        double *want = tst_h5_f64(c->h5, name, &ndim, dims);
        assert_int_equal(dims[0], o->labels->n_eval);
        for (int e = 0; e < o->labels->n_eval; e++) most = fmax(most, fabs(count[s][e] - want[e]));
        free(want);
    }
    demand(c, "online counts, voxels", most, 2); /* two classes may tie within rounding */
}

static void one_case(void **state)
{
    context c;
    load_case(&c, *state);
    const sf_loss_options o = loss_options(&c);
    sf_loss_report r;
    check_facts(&c);
    tst_ok(sf_network_forward(c.net, c.input, c.batch));
    check_outputs(&c);
    tst_ok(sf_loss_evaluate(c.net, c.seg, &o, true, &r));
    check_losses(&c, &r);
    tst_ok(sf_network_backward(c.net));
    check_absent(&c);
    check_gradients(&c);
    check_steps(&c, &o);
    if (mode == SF_F32) {
        check_inference(&c);
        check_online(&c, &o);
    }
    free_case(&c);
}

int main(int argc, char **argv)
{
    const char *dir = tst_shared("oracle/network");
    char **names = NULL;
    size_t count = 0;
    if (!dir || sf_path_list(&names, &count, dir) != SF_OK || count == 0)
        tst_skip("no oracle/network");
    mode = argc > 1 && strcmp(argv[1], "double") == 0 ? SF_F64 : SF_F32;
    exact = argc > 1 && strcmp(argv[1], "exact") == 0;
    struct CMUnitTest *tests = calloc(count, sizeof *tests);
    for (size_t i = 0; i < count; i++)
        tests[i] = (struct CMUnitTest){ names[i], one_case, NULL, NULL, names[i] };
    const int failed = _cmocka_run_group_tests("network oracle", tests, count, NULL, NULL);
    sf_path_free_list(&names, count);
    free(tests);
    return failed;
}
