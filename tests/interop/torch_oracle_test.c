/* The peer's own checkpoints: oracle/network (bit for bit) and every model folder below
 * oracle/inference and oracle/cascade (all weights find their place). */
#include "tests/support/support.h"
/* support.h first: cmocka's order */
#include "base/mem.h"
#include "base/path.h"
#include "interop/torch.h"
#include "interop/torch_params.h"
#include "network/network.h"
#include "plan/plans.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sf_network *network_of(const sf_config *c, int64_t in_channels, int64_t heads)
{
    sf_network_options o = { .arch = &c->arch,
                             .in_channels = in_channels,
                             .heads = heads,
                             .batch = 1,
                             .dtype = SF_F32,
                             .threads = 1 };
    memcpy(o.patch, c->patch, sizeof o.patch);
    sf_network *net = NULL;
    tst_ok(sf_network_create(&net, &o));
    return net;
}

static void compare(const sf_params *p, tst_h5 *h5)
{
    for (int i = 0; i < p->count; i++) {
        char name[160];
        int ndim;
        int64_t dims[8];
        snprintf(name, sizeof name, "params_step1/%s", p->item[i].name);
        float *want = tst_h5_f32(h5, name, &ndim, dims);
        assert_memory_equal(p->item[i].value, want, (size_t)p->item[i].count * sizeof *want);
        free(want);
    }
}

static void check_case(const char *dir)
{
    char path[SF_PATH_MAX];
    tst_ok(sf_path_join(path, dir, "checkpoint_step1.pth", NULL));
    if (!sf_path_is_file(path)) return;
    sf_torch_checkpoint *c;
    sf_plans *plans, *inside;
    sf_dataset *dataset;
    json_t *init;
    tst_ok(sf_torch_load(&c, path));
    tst_ok(sf_path_join(path, dir, "plans.json", NULL));
    tst_ok(sf_plans_load(&plans, path));
    tst_ok(sf_path_join(path, dir, "dataset.json", NULL));
    tst_ok(sf_dataset_from_json(&dataset, path));
    sf_network *net = network_of(&plans->config[0], plans->n_channels, dataset->labels.n_heads);
    tst_ok(sf_torch_to_params(c, sf_network_params(net)));
    tst_ok(sf_path_join(path, dir, "oracle.h5", NULL));
    tst_h5 *h5 = tst_h5_open(path);
    compare(sf_network_params(net), h5);
    tst_h5_close(h5);
    /* the plans inside the checkpoint are the plans beside it */
    tst_ok(sf_json_get(&init, c->meta, "init_args", path));
    tst_ok(sf_plans_from_json(&inside, json_object_get(init, "plans"), path));
    assert_string_equal(inside->dataset_name, plans->dataset_name);
    assert_true(json_is_array(json_object_get(c->meta, "inference_allowed_mirroring_axes")));
    assert_int_equal(json_integer_value(json_object_get(c->meta, "current_epoch")), 1);
    sf_plans_destroy(&inside);
    sf_network_destroy(&net);
    sf_dataset_destroy(&dataset);
    sf_plans_destroy(&plans);
    sf_torch_destroy(&c);
}

static void network_cases(void **state)
{
    (void)state;
    const char *root = tst_shared("oracle/network");
    if (!root) skip();
    char **names;
    size_t count;
    tst_ok(sf_path_list(&names, &count, root));
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) {
        char dir[SF_PATH_MAX];
        tst_ok(sf_path_join(dir, root, names[i], NULL));
        check_case(dir);
    }
    sf_path_free_list(&names, count);
}

/** fold_F/checkpoint_final.pth of a model folder "Trainer__Plans__CONFIG". */
static int check_fold(const char *model, const char *fold)
{
    char path[SF_PATH_MAX];
    const sf_config *config;
    sf_torch_checkpoint *c;
    sf_plans *plans;
    tst_ok(sf_path_join(path, model, fold, "checkpoint_final.pth"));
    if (!sf_path_is_file(path)) return 0;
    tst_ok(sf_torch_load(&c, path));
    tst_ok(sf_path_join(path, model, "plans.json", NULL));
    tst_ok(sf_plans_load(&plans, path));
    tst_ok(
        sf_plans_config(&config, plans, strstr(strstr(sf_path_base(model), "__") + 2, "__") + 2));
    /* channels and heads from the weights themselves: a cascade adds channels */
    const sf_torch_tensor *head = sf_torch_find(c, "decoder.seg_layers.0.weight");
    const bool residual = config->arch.net == SF_NET_RESENC;
    const sf_torch_tensor *first =
        sf_torch_find(c, residual ? "encoder.stem.convs.0.conv.weight"
                                  : "encoder.stages.0.0.convs.0.conv.weight");
    assert_non_null(head);
    assert_non_null(first);
    sf_network *net = network_of(config, first->dim[1], head->dim[0]);
    tst_ok(sf_torch_to_params(c, sf_network_params(net)));
    sf_network_destroy(&net);
    net = network_of(config, first->dim[1], head->dim[0] + 1); /* another plan */
    assert_int_equal(sf_torch_to_params(c, sf_network_params(net)), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "decoder.seg_layers"));
    sf_network_destroy(&net);
    sf_plans_destroy(&plans);
    sf_torch_destroy(&c);
    return 1;
}

static int check_tree(const char *dir, int depth)
{
    char **names;
    size_t count;
    int found = 0;
    tst_ok(sf_path_list(&names, &count, dir));
    for (size_t i = 0; i < count; i++) {
        char path[SF_PATH_MAX];
        tst_ok(sf_path_join(path, dir, names[i], NULL));
        if (!sf_path_is_dir(path)) continue;
        if (strncmp(names[i], "fold_", 5) == 0)
            found += check_fold(dir, names[i]);
        else if (depth < 3)
            found += check_tree(path, depth + 1);
    }
    sf_path_free_list(&names, count);
    return found;
}

static void model_folders(void **state)
{
    (void)state;
    const char *root = tst_shared("oracle/inference"), *cascade = tst_shared("oracle/cascade");
    if (!root && !cascade) skip();
    int found = 0;
    if (root) found += check_tree(root, 0);
    if (cascade) found += check_tree(cascade, 0);
    printf("    %d checkpoints\n", found);
    assert_true(found > 0);
}

/** A real file with damage: the directory, the names and the lengths are hit as well. */
static void damaged_file(void **state)
{
    (void)state;
    const char *root = tst_shared("oracle/network");
    char path[SF_PATH_MAX], copy[SF_PATH_MAX], **names, *data = NULL;
    size_t count, size;
    if (!root) skip();
    tst_ok(sf_path_list(&names, &count, root));
    for (size_t i = 0; i < count && !data; i++) {
        tst_ok(sf_path_join(path, root, names[i], "checkpoint_step1.pth"));
        if (sf_path_is_file(path)) tst_ok(sf_path_read(&data, &size, path, 0));
    }
    sf_path_free_list(&names, count);
    if (!data) skip();
    tst_ok(sf_path_join(copy, tst_tmp_dir(), "damaged.pth", NULL));
    for (size_t i = 0; i < 60; i++) {
        sf_torch_checkpoint *c;
        const size_t at = size / 60 * i;
        const size_t keep = i % 2 ? size : at; /* odd: one byte changed; even: cut off */
        data[at] = (char)(data[at] ^ 0x40);
        FILE *f = fopen(copy, "wb");
        fwrite(data, 1, keep, f);
        fclose(f);
        data[at] = (char)(data[at] ^ 0x40);
        const sf_status st = sf_torch_load(&c, copy);
        assert_true(st == SF_OK || st == SF_EDATA || st == SF_EUNSUPPORTED);
        if (i % 2 == 0) assert_int_equal(st, SF_EDATA);
        sf_torch_destroy(&c);
    }
    sf_mem_free(data);
}

int main(void)
{
    if (!tst_shared("oracle")) tst_skip("no oracle");
    const struct CMUnitTest tests[] = { cmocka_unit_test(network_cases),
                                        cmocka_unit_test(model_folders),
                                        cmocka_unit_test(damaged_file) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
