/** Hand-edited plans: every key of plans.json (nnunet-planning.md 9.1) is changed in turn. It acts,
 *  is refused by name with what to do, or is information that nothing depends on; and no key of a
 *  plan is missing from the table. What the decoded values do is tested where they are used:
 *  preprocess.edited, network.graph, network.loss, train.trainer. */
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "tests/plan/plan_check.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef enum { ACTS, REFUSED, INFORMATION } verdict;

#define C      "configurations.3d_fullres."
#define LOW    "configurations.3d_lowres."
#define SECOND "configurations.3d_cascade_fullres."
#define KW     C "architecture.arch_kwargs."
#define TORCH  "\"resample_torch_fornnunet\""

/** An object is merged over what is there; anything else replaces it. `word` must be in the error.
 */
static const struct {
    const char *path, *value;
    verdict is;
    const char *word;
} rows[] = {
    { "dataset_name", "\"Dataset7_X\"", INFORMATION, NULL },
    { "plans_name", "\"mine\"", INFORMATION, NULL },
    { "original_median_spacing_after_transp", "[9, 9, 9]", INFORMATION, NULL },
    { "original_median_shape_after_transp", "[9, 9, 9]", INFORMATION, NULL },
    { "image_reader_writer", "\"NibabelIO\"", INFORMATION, NULL }, /* by the files' endings */
    { "image_reader_writer", "\"NibabelIOWithReorient\"", REFUSED, "RAS" },
    { "experiment_planner_used", "\"Me\"", INFORMATION, NULL },
    { "label_manager", "\"Other\"", REFUSED, "LabelManager" },
    { "transpose_forward", "[1, 0, 2]", REFUSED, "transpose_backward" },
    { "transpose_forward", "[1, 1, 2]", REFUSED, "permutation" },
    { "transpose_backward", "[0, 2, 1]", REFUSED, "transpose_backward" },
    { "", "{\"transpose_forward\": [1, 0, 2], \"transpose_backward\": [1, 0, 2]}", ACTS, NULL },
    { "foreground_intensity_properties_per_channel", "{\"0\": {\"mean\": 7}}", ACTS, NULL },
    { "foreground_intensity_properties_per_channel", "{\"0\": {\"std\": 7}}", ACTS, NULL },
    { "foreground_intensity_properties_per_channel", "{\"0\": {\"percentile_00_5\": 7}}", ACTS,
      NULL },
    { "foreground_intensity_properties_per_channel", "{\"0\": {\"percentile_99_5\": 7}}", ACTS,
      NULL },
    { "segfleet_recipe", "{\"prep\": {\"order_z\": 1}}", ACTS, NULL },

    { C "data_identifier", "\"other\"", INFORMATION, NULL }, /* a name for those who share it */
    { SECOND "data_identifier", "\"other\"", ACTS, NULL },
    { C "data_identifier", "\"a/b\"", REFUSED, "file name" },
    { C "preprocessor_name", "\"Mine\"", REFUSED, "DefaultPreprocessor" },
    { C "batch_size", "5", ACTS, NULL },
    { C "batch_size", "0", REFUSED, "batch_size" },
    { C "patch_size", "[64, 128, 64]", ACTS, NULL },
    { C "patch_size", "[64, 100, 64]", REFUSED, "not divisible by 32" },
    { C "median_image_size_in_voxels", "[7, 7, 7]", INFORMATION, NULL },
    { C "spacing", "[2, 1, 1]", ACTS, NULL },
    { C "spacing", "[2, 0, 1]", REFUSED, "spacing" },
    { C "normalization_schemes", "[\"ZScoreNormalization\"]", ACTS, NULL },
    { C "normalization_schemes", "[\"NoNormalization\"]", ACTS, NULL },
    { C "normalization_schemes", "[\"RescaleTo01Normalization\"]", ACTS, NULL },
    { C "normalization_schemes", "[\"RGBTo01Normalization\"]", ACTS, NULL },
    { C "normalization_schemes", "[\"MyNormalization\"]", REFUSED, "MyNormalization" },
    { C "normalization_schemes", "[]", REFUSED, "one entry for each" },
    { C "use_mask_for_norm", "[true]", ACTS, NULL },
    { C "use_mask_for_norm", "[1]", REFUSED, "use_mask_for_norm" },
    { C "batch_dice", "false", ACTS, NULL },
    { C "inherits_from", "\"2d\"", INFORMATION, NULL }, /* every own key stays */
    { C "inherits_from", "\"nowhere\"", REFUSED, "nowhere" },
    { C "inherits_from", "\"3d_fullres\"", REFUSED, "circle" },
    { SECOND "inherits_from", "\"3d_lowres\"", REFUSED, "next_stage" }, /* inherited with it */
    { SECOND "previous_stage", "\"nowhere\"", REFUSED, "nowhere" },
    { SECOND "previous_stage", "\"2d\"", REFUSED, "one dimension" },
    { SECOND "batch_size", "9", ACTS, NULL },
    { LOW "next_stage", "[\"3d_cascade_fullres\"]", INFORMATION, NULL }, /* nnU-Net's other form */
    { LOW "next_stage", "[\"3d_cascade_fullres\", \"b\"]", REFUSED, "one is supported" },
    { LOW "next_stage", "\"nowhere\"", REFUSED, "nowhere" },
    { LOW "next_stage", "\"3d_fullres\"", REFUSED, "previous_stage" },

    { C "resampling_fn_data", "\"resample_mine\"", REFUSED, "no_resampling_hack" },
    { C "resampling_fn_seg", "\"resample_mine\"", REFUSED, "resample_mine" },
    { C "resampling_fn_probabilities", "\"resample_mine\"", REFUSED, "resample_mine" },
    { C "resampling_fn_data", "\"no_resampling_hack\"", REFUSED, "order" },
    { C, "{\"resampling_fn_data\": \"no_resampling_hack\", \"resampling_fn_data_kwargs\": []}",
      REFUSED, "none of them" },
    { C,
      "{\"resampling_fn_data\": \"no_resampling_hack\", \"resampling_fn_data_kwargs\": [],"
      " \"resampling_fn_seg\": \"no_resampling_hack\", \"resampling_fn_seg_kwargs\": [],"
      " \"resampling_fn_probabilities\": \"no_resampling_hack\","
      " \"resampling_fn_probabilities_kwargs\": []}",
      ACTS, NULL },
    { C,
      "{\"resampling_fn_data\": " TORCH ", \"resampling_fn_data_kwargs\": {\"order\": null,"
      " \"order_z\": null, \"memefficient_seg_resampling\": false}}",
      ACTS, NULL },
    { C,
      "{\"resampling_fn_seg\": " TORCH ", \"resampling_fn_seg_kwargs\": {\"order\": null,"
      " \"order_z\": null, \"memefficient_seg_resampling\": true}}",
      REFUSED, "memefficient_seg_resampling" },
    { C,
      "{\"resampling_fn_probabilities\": " TORCH ", \"resampling_fn_probabilities_kwargs\":"
      " {\"order\": null, \"order_z\": null, \"mode\": \"bicubic\"}}",
      REFUSED, "mode" },
    { C "resampling_fn_data_kwargs", "{\"order\": 1}", ACTS, NULL },
    { C "resampling_fn_data_kwargs", "{\"order\": 2}", REFUSED, "order" },
    { C "resampling_fn_data_kwargs", "{\"order_z\": 1}", ACTS, NULL },
    { C "resampling_fn_data_kwargs", "{\"force_separate_z\": true}", ACTS, NULL },
    { C "resampling_fn_data_kwargs", "{\"force_separate_z\": 3}", REFUSED, "force_separate_z" },
    { C "resampling_fn_data_kwargs", "{\"separate_z_anisotropy_threshold\": 2}", ACTS, NULL },
    { C "resampling_fn_data_kwargs", "{\"separate_z_anisotropy_threshold\": 0}", REFUSED, "ratio" },
    { C "resampling_fn_data_kwargs", "{\"is_seg\": true}", REFUSED, "is_seg" },
    { C "resampling_fn_data_kwargs", "{\"ordr\": 1}", REFUSED, "ordr" },
    { C "resampling_fn_seg_kwargs", "{\"order\": 0}", ACTS, NULL },
    { C "resampling_fn_seg_kwargs", "{\"order_z\": 1}", ACTS, NULL },
    { C "resampling_fn_seg_kwargs", "{\"force_separate_z\": false}", ACTS, NULL },
    { C "resampling_fn_seg_kwargs", "{\"is_seg\": false}", REFUSED, "is_seg" },
    { C "resampling_fn_probabilities_kwargs", "{\"order\": 3}", ACTS, NULL },
    { C "resampling_fn_probabilities_kwargs", "{\"order_z\": 1}", ACTS, NULL },
    { C "resampling_fn_probabilities_kwargs", "{\"force_separate_z\": true}", ACTS, NULL },

    { C "architecture", "{\"_kw_requires_import\": []}", INFORMATION, NULL },
    { C "architecture", "{\"network_class_name\": \"a.b.SwinUNETR\"}", REFUSED, "SwinUNETR" },
    { C "architecture", "{\"network_class_name\": \"x.ResidualEncoderUNet\"}", REFUSED,
      "n_conv_per_stage" },
    { C "architecture",
      "{\"network_class_name\": \"x.ResidualEncoderUNet\", \"arch_kwargs\":"
      " {\"n_conv_per_stage\": null, \"n_blocks_per_stage\": [1, 3, 4, 6, 6, 6]}}",
      ACTS, NULL },
    { KW "n_stages", "5", REFUSED, "list of 5" },
    { KW "n_stages", "1", REFUSED, "one pooling" },
    { C "architecture.arch_kwargs",
      "{\"n_stages\": 2, \"features_per_stage\": [8, 16], \"kernel_sizes\": [[1, 3, 3], 3],"
      " \"strides\": [1, [1, 2, 2]], \"n_conv_per_stage\": 2, \"n_conv_per_stage_decoder\": [1]}",
      ACTS, NULL },
    { KW "features_per_stage", "[16, 32, 64, 128, 160, 160]", ACTS, NULL },
    { KW "features_per_stage", "[16, 32]", REFUSED, "features_per_stage" },
    { KW "kernel_sizes", "[[1, 3, 3], 3, 3, 3, 3, 3]", ACTS, NULL },
    { KW "kernel_sizes", "[5, 3, 3, 3, 3, 3]", REFUSED, "1 and 3 are supported" },
    { KW "strides", "[1, 2, 2, 2, 2, [2, 2, 2]]", REFUSED, "not divisible" },
    { KW "strides", "[1, 2, 2, 2, 2, 1]", ACTS, NULL },
    { KW "strides", "[1, 4, 2, 2, 2, 1]", REFUSED, "1 and 2 are supported" },
    { KW "strides", "[2, 2, 2, 2, 1, 1]", REFUSED, "first stage" },
    { KW "n_conv_per_stage", "[3, 3, 3, 3, 3, 3]", ACTS, NULL },
    { KW "n_conv_per_stage", "[2, 0, 2, 2, 2, 2]", REFUSED, "n_conv_per_stage" },
    { KW "n_conv_per_stage_decoder", "[1, 1, 1, 1, 1]", ACTS, NULL },
    { KW "n_conv_per_stage_decoder", "[1]", REFUSED, "n_conv_per_stage_decoder" },
    { KW "conv_bias", "false", ACTS, NULL },
    { KW "conv_op", "\"torch.nn.modules.conv.Conv2d\"", REFUSED, "Conv3d" },
    { KW "norm_op", "\"torch.nn.modules.batchnorm.BatchNorm3d\"", REFUSED, "InstanceNorm3d" },
    { KW "norm_op_kwargs", "{\"eps\": 0.001}", ACTS, NULL },
    { KW "norm_op_kwargs", "{\"eps\": 0}", REFUSED, "eps" },
    { KW "norm_op_kwargs", "{\"affine\": false}", REFUSED, "affine" },
    { KW "norm_op_kwargs", "{\"track_running_stats\": true}", REFUSED, "track_running_stats" },
    { KW "norm_op_kwargs", "{\"track_running_stats\": false}", INFORMATION, NULL },
    { KW "dropout_op", "\"torch.nn.Dropout3d\"", REFUSED, "dropout_op" },
    { KW "dropout_op_kwargs", "{\"p\": 0}", INFORMATION, NULL },
    { C "architecture.arch_kwargs",
      "{\"dropout_op\": \"torch.nn.Dropout3d\", \"dropout_op_kwargs\": {\"p\": 0.2}}", REFUSED,
      "dropout" },
    { C "architecture.arch_kwargs",
      "{\"dropout_op\": \"torch.nn.Dropout3d\", \"dropout_op_kwargs\": {\"p\": 0.0}}", INFORMATION,
      NULL },
    { KW "nonlin", "\"torch.nn.GELU\"", REFUSED, "LeakyReLU" },
    { KW "nonlin_kwargs", "{\"negative_slope\": 0.2}", ACTS, NULL },
    { KW "nonlin_kwargs", "{\"negative_slope\": -1}", REFUSED, "negative_slope" },
    { KW "nonlin_kwargs", "{\"inplace\": false}", INFORMATION, NULL },
    { KW "nonlin_kwargs", "{\"approximate\": \"tanh\"}", REFUSED, "approximate" },
    { C "architecture.arch_kwargs", "{\"squeeze_excitation\": true}", REFUSED,
      "squeeze_excitation" },
    { C "architecture.arch_kwargs", "{\"squeeze_excitation\": false}", INFORMATION, NULL },
};
enum { N_ROWS = sizeof rows / sizeof *rows };

/** A plan of our own planner with a cascade: 3d_fullres has 6 stages, patch 112x160x128. */
static json_t *cascade_plan(void)
{
    static const double sp[1][3] = { { 1, .8, .8 } };
    static const int64_t sh[1][3] = { { 400, 512, 512 } };
    tst_description d;
    sf_recipe *r = NULL;
    json_t *json = NULL;
    tst_describe_cases(&d, "Dataset120_Keys", 10, sp, 1, sh, 1, 1, "CT", 3);
    tst_ok(sf_recipe_load(&r, "nnunetv2"));
    tst_ok(sf_planner_run(&json, NULL, d.fingerprint, d.dataset, r, NULL));
    sf_recipe_destroy(&r);
    tst_undescribe(&d);
    return json;
}

/** Everything that was decoded and that anything is computed from, as text. */
typedef struct {
    char text[1 << 16];
    size_t n;
} digest;

static void add(digest *d, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    d->n += (size_t)vsnprintf(d->text + d->n, sizeof d->text - d->n, format, list);
    va_end(list);
    assert_true(d->n < sizeof d->text);
}

static void add_resampling(digest *d, const sf_resampling *r)
{
    add(d, " [%d %d %d %d %d %g]", r->fn, r->is_seg, r->order, r->order_z, r->force_separate_z,
        r->threshold);
}

static void add_arch(digest *d, const sf_arch *a)
{
    add(d, " net %d %d %d %d %g %g", a->net, a->dim, a->n_stages, a->conv_bias, a->eps, a->slope);
    for (int s = 0; s < a->n_stages; s++) {
        add(d, " %d: %d %d %d", s, (int)a->features[s], a->blocks[s], a->decoder_convs[s]);
        for (int i = 0; i < 3; i++) add(d, " %d/%d", a->kernel[s][i], a->stride[s][i]);
    }
}

static void add_config(digest *d, const sf_plans *p, const sf_config *c)
{
    add(d, "%s data of %s, batch %d dice %d", c->name, sf_plans_data_owner(p, c)->name,
        (int)c->batch_size, c->batch_dice);
    for (int i = 0; i < 3; i++) add(d, " %d %g", (int)c->patch[i], c->spacing[i]);
    for (int i = 0; i < p->n_channels; i++) add(d, " norm %d %d", c->norm[i], c->use_mask[i]);
    add_resampling(d, &c->data);
    add_resampling(d, &c->seg);
    add_resampling(d, &c->prob);
    add_arch(d, &c->arch);
    add(d, " %s %s\n", c->previous_stage ? c->previous_stage : "-",
        c->next_stage ? c->next_stage : "-");
}

static void make_digest(digest *d, const sf_plans *p)
{
    d->n = 0;
    for (int i = 0; i < 3; i++) add(d, "%d/%d ", p->transpose_forward[i], p->transpose_backward[i]);
    for (int c = 0; c < p->n_channels; c++) {
        const sf_intensity *v = &p->intensity[c];
        add(d, "%g %g %g %g %g\n", v->mean, v->std, v->p00_5, v->p99_5, v->median);
    }
    add(d, "%d\n", (int)p->recipe->prep.order_z);
    for (int i = 0; i < p->n_configs; i++) add_config(d, p, &p->config[i]);
}

static void merge(json_t *to, const json_t *from)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)from, key, v)
    {
        json_t *old = json_object_get(to, key);
        if (json_is_object(old) && json_is_object(v))
            merge(old, v);
        else if (json_is_null(v) && old) /* null: take the key away */
            json_object_del(to, key);
        else if (json_is_array(v) && json_array_size(v) == 0 && json_is_object(old))
            json_object_clear(old); /* []: empty the object */
        else
            json_object_set(to, key, v);
    }
}

/** The object that holds the last part of a dotted path, and that part ("" = the object itself). */
static json_t *walk(json_t *root, const char *path, const char **last)
{
    char part[128];
    for (const char *dot; (dot = strchr(path, '.')) != NULL; path = dot + 1) {
        snprintf(part, sizeof part, "%.*s", (int)(dot - path), path);
        root = json_object_get(root, part);
        if (!root) fail_msg("the plan has no \"%s\"", part);
    }
    *last = path;
    return root;
}

static void edit(json_t *root, const char *path, const char *value)
{
    const char *last;
    json_t *v = json_loads(value, JSON_DECODE_ANY, NULL);
    json_t *holder = walk(root, path, &last);
    json_t *old = *last ? json_object_get(holder, last) : holder;
    assert_non_null(v);
    if (json_is_object(v) && json_is_object(old))
        merge(old, v);
    else
        json_object_set(holder, last, v);
    json_decref(v);
}

static void every_row(void **state)
{
    static digest before, after;
    json_t *json = cascade_plan();
    sf_plans *p = NULL;
    int count[3] = { 0 };
    (void)state;
    tst_ok(sf_plans_from_json(&p, json, "plans.json"));
    make_digest(&before, p);
    sf_plans_destroy(&p);
    for (int i = 0; i < N_ROWS; i++) {
        json_t *copy = json_deep_copy(json);
        edit(copy, rows[i].path, rows[i].value);
        const sf_status st = sf_plans_from_json(&p, copy, "plans.json");
        if ((st == SF_OK) == (rows[i].is == REFUSED))
            fail_msg("%s = %s: %s", rows[i].path, rows[i].value, st ? sf_error_text() : "accepted");
        if (st == SF_OK) {
            make_digest(&after, p);
            if ((strcmp(after.text, before.text) != 0) != (rows[i].is == ACTS))
                fail_msg("%s = %s: %s", rows[i].path, rows[i].value,
                         rows[i].is == ACTS ? "has no effect" : "acts");
        } else if (!strstr(sf_error_text(), rows[i].word)) {
            fail_msg("%s = %s: \"%s\" lacks \"%s\"", rows[i].path, rows[i].value, sf_error_text(),
                     rows[i].word);
        }
        if (st != SF_OK) assert_true(st == SF_EDATA || st == SF_EUNSUPPORTED || st == SF_EINVAL);
        count[rows[i].is]++;
        sf_plans_destroy(&p);
        json_decref(copy);
    }
    print_message("%d edits act, %d are refused, %d are information\n", count[ACTS], count[REFUSED],
                  count[INFORMATION]);
    json_decref(json);
}

/** Is there a row about `key` of a configuration (or of arch_kwargs, or of the file)? */
static bool has_row(const char *key)
{
    char quoted[160];
    snprintf(quoted, sizeof quoted, "\"%s\"", key);
    for (int i = 0; i < N_ROWS; i++) {
        const char *last = strrchr(rows[i].path, '.');
        if (strcmp(last ? last + 1 : rows[i].path, key) == 0) return true;
        if (strstr(rows[i].value, quoted)) return true;
    }
    return false;
}

static void check_covered(const json_t *obj)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)obj, key, v)
    {
        const bool inner = strcmp(key, "arch_kwargs") == 0 || strcmp(key, "architecture") == 0;
        if (strcmp(key, "configurations") == 0) continue;
        if (!inner && !has_row(key)) fail_msg("no row changes \"%s\"", key);
        if (inner) check_covered(v);
    }
}

static void no_key_is_missing(void **state)
{
    json_t *json = cascade_plan(), *one;
    const char *name;
    (void)state;
    check_covered(json);
    json_object_foreach(json_object_get(json, "configurations"), name, one) check_covered(one);
    assert_false(has_row("unheard"));
    json_decref(json);
}

static int warnings;

static void count_warnings(void *user, sf_log_level level, const char *line)
{
    (void)user;
    warnings += level == SF_LOG_WARN && strstr(line, "batchsize") && strstr(line, "no effect");
}

/** A misspelt key of a configuration is told; a plan as the planner writes it says nothing. */
static void misspelt_key(void **state)
{
    json_t *json = cascade_plan();
    sf_plans *p = NULL;
    (void)state;
    for (int k = 0; k < 2; k++) {
        if (k) edit(json, C "batchsize", "7");
        warnings = 0;
        sf_log_set_sink(count_warnings, NULL);
        tst_ok(sf_plans_from_json(&p, json, "plans.json"));
        sf_log_set_sink(NULL, NULL);
        assert_int_equal(warnings, k);
        sf_plans_destroy(&p);
    }
    json_decref(json);
}

/** The flat keys of before 2.3 (9.2): each acts or is refused. */
static void older_layout(void **state)
{
    static const struct {
        const char *key, *value;
        bool refused;
    } old[] = {
        { "UNet_class_name", "\"ResidualEncoderUNet\"", false },
        { "UNet_class_name", "\"UNETR\"", true },
        { "UNet_base_num_features", "16", false },
        { "unet_max_num_features", "64", false },
        { "unet_max_num_features", "8", true },
        { "n_conv_per_stage_encoder", "[1, 1, 2]", false },
        { "n_conv_per_stage_encoder", "[1, 1]", true },
        { "n_conv_per_stage_decoder", "[1, 3]", false },
        { "pool_op_kernel_sizes", "[[1, 1, 1], [1, 2, 2], [2, 2, 2]]", false },
        { "pool_op_kernel_sizes", "[[1, 1, 1], [3, 2, 2], [2, 2, 2]]", true },
        { "conv_kernel_sizes", "[[1, 3, 3], [3, 3, 3], [3, 3, 3]]", false },
        { "conv_kernel_sizes", "[[7, 3, 3], [3, 3, 3], [3, 3, 3]]", true },
    };
    static digest before, after;
    json_t *json = cascade_plan();
    json_t *flat = json_loads("{\"UNet_class_name\": \"PlainConvUNet\","
                              " \"UNet_base_num_features\": 32, \"unet_max_num_features\": 320,"
                              " \"n_conv_per_stage_encoder\": [2, 2, 2],"
                              " \"n_conv_per_stage_decoder\": [2, 2],"
                              " \"num_pool_per_axis\": [2, 2, 2],"
                              " \"pool_op_kernel_sizes\": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],"
                              " \"conv_kernel_sizes\": [[3, 3, 3], [3, 3, 3], [3, 3, 3]]}",
                              0, NULL);
    sf_plans *p = NULL;
    (void)state;
    json_t *cfg = json_object_get(json_object_get(json, "configurations"), "3d_fullres");
    json_object_del(cfg, "architecture");
    json_object_update(cfg, flat);
    json_decref(flat);
    tst_ok(sf_plans_from_json(&p, json, "old.json"));
    make_digest(&before, p);
    sf_plans_destroy(&p);
    for (size_t i = 0; i < sizeof old / sizeof *old; i++) {
        json_t *kept = json_incref(json_object_get(cfg, old[i].key));
        json_object_set_new(cfg, old[i].key, json_loads(old[i].value, JSON_DECODE_ANY, NULL));
        const sf_status st = sf_plans_from_json(&p, json, "old.json");
        if ((st != SF_OK) != old[i].refused)
            fail_msg("%s = %s: %s", old[i].key, old[i].value, st ? sf_error_text() : "accepted");
        if (st == SF_OK) {
            make_digest(&after, p);
            if (strcmp(after.text, before.text) == 0) fail_msg("%s has no effect", old[i].key);
        }
        sf_plans_destroy(&p);
        json_object_set_new(cfg, old[i].key, kept);
    }
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row),
        cmocka_unit_test(no_key_is_missing),
        cmocka_unit_test(misspelt_key),
        cmocka_unit_test(older_layout),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed + (sf_mem_live(SF_MEM_CATEGORIES) != 0);
}
