/** Fine-tuning from nnU-Net's own checkpoints (.pth): every weight but those of the heads is the
 *  peer's, bit for bit; a file of another network is refused by the name of a weight. */
#include "tests/support/support.h"
/* support.h first: cmocka's order */
#include "base/path.h"
#include "network/network.h"
#include "plan/plans.h"
#include "train/pretrained.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int found;
static char first[SF_PATH_MAX];

static sf_network *network_in(const char *dir)
{
    char path[SF_PATH_MAX];
    sf_plans *plans;
    sf_dataset *dataset;
    sf_network *net;
    tst_ok(sf_path_join(path, dir, "plans.json", NULL));
    tst_ok(sf_plans_load(&plans, path));
    tst_ok(sf_path_join(path, dir, "dataset.json", NULL));
    tst_ok(sf_dataset_from_json(&dataset, path));
    const sf_config *c = &plans->config[0];
    sf_network_options o = { .arch = &c->arch,
                             .in_channels = plans->n_channels,
                             .heads = dataset->labels.n_heads,
                             .batch = 1,
                             .threads = 1 };
    memcpy(o.patch, c->patch, sizeof o.patch);
    tst_ok(sf_network_create(&net, &o));
    sf_params_init(sf_network_params(net), 11, "test", 0.01);
    sf_dataset_destroy(&dataset);
    sf_plans_destroy(&plans);
    return net;
}

static void check(const char *dir, const char *pth)
{
    char path[SF_PATH_MAX], name[160];
    sf_network *net = network_in(dir), *fresh = network_in(dir);
    sf_params *p = sf_network_params(net), *untouched = sf_network_params(fresh);
    int heads = 0;
    tst_ok(sf_pretrained_apply(p, pth));
    tst_ok(sf_path_join(path, dir, "oracle.h5", NULL));
    tst_h5 *h5 = tst_h5_open(path);
    for (int i = 0; i < p->count; i++) {
        const size_t bytes = (size_t)p->item[i].count * sizeof(float);
        const bool head = strstr(p->item[i].name, ".seg_layers.") != NULL;
        int ndim;
        int64_t dims[8];
        snprintf(name, sizeof name, "params_step1/%s", p->item[i].name);
        float *peer = tst_h5_f32(h5, name, &ndim, dims);
        assert_memory_equal(p->item[i].value, head ? untouched->item[i].value : peer, bytes);
        heads += head;
        free(peer);
    }
    assert_true(heads > 0);
    tst_h5_close(h5);
    sf_network_destroy(&net);
    sf_network_destroy(&fresh);
}

static void refuse_first(const char *dir)
{
    sf_network *net = network_in(dir);
    assert_int_equal(sf_pretrained_apply(sf_network_params(net), first), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "checkpoint_step1.pth: parameter encoder."));
    sf_network_destroy(&net);
}

static void peers_weights(void **state)
{
    const char *root = tst_shared("oracle/network");
    char **names;
    size_t count;
    (void)state;
    if (!root) skip();
    tst_ok(sf_path_list(&names, &count, root));
    for (size_t i = 0; i < count; i++) {
        char dir[SF_PATH_MAX], pth[SF_PATH_MAX];
        tst_ok(sf_path_join(dir, root, names[i], NULL));
        tst_ok(sf_path_join(pth, dir, "checkpoint_step1.pth", NULL));
        if (!sf_path_is_file(pth)) continue;
        if (found++ == 0) tst_ok(sf_path_format(first, "%s", pth));
        check(dir, pth);
        if (found > 1) refuse_first(dir);
    }
    assert_true(found > 1);
    sf_path_free_list(&names, count);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(peers_weights) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
