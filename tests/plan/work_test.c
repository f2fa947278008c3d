/** Names in a work folder and of tasks. */
#include "plan/splits.h"
#include "plan/work.h"
#include "tests/plan/plan_check.h"
#include <string.h>

static void paths(void **state)
{
    char p[SF_PATH_MAX], text[256];
    const sf_task_key plain = { .seed = 7, .config = "2d", .fold = 3 };
    const sf_task_key all = { .config = "3d_fullres", .fold = SF_FOLD_ALL };
    const sf_task_key ablation = { .variant = "adam", .seed = 2, .config = "2d", .fold = 0 };
    const sf_task_key bad = { .variant = "a/b", .config = "2d", .fold = 0 };
    (void)state;
    tst_ok(sf_work_fold_dir(p, "W", &plain));
    assert_string_equal(p, "W/results/2d/fold_3");
    tst_ok(sf_work_fold_dir(p, "W", &all));
    assert_string_equal(p, "W/results/3d_fullres/fold_all");
    tst_ok(sf_work_fold_dir(p, "W", &ablation));
    assert_string_equal(p, "W/results/2d/adam_seed_2/fold_0");
    assert_int_equal(sf_work_fold_dir(p, "W", &bad), SF_EINVAL);
    tst_ok(sf_work_container(p, "W", "2d"));
    assert_string_equal(p, "W/preprocessed/2d.h5");
    sf_work_key_text(text, &plain);
    assert_string_equal(text, "variant=none seed=7 cfg=2d fold=3");
    sf_work_scope(text, &all);
    assert_string_equal(text, "none/3d_fullres/all");
}

/** Names of any length end within their buffers. */
static void long_names(void **state)
{
    char name[5000], text[256], p[SF_PATH_MAX];
    (void)state;
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    const sf_task_key key = { .variant = name, .config = name, .fold = 0 };
    sf_work_key_text(text, &key);
    assert_true(strlen(text) < sizeof text);
    sf_work_scope(text, &key);
    assert_true(strlen(text) < sizeof text);
    assert_int_equal(sf_work_fold_dir(p, "W", &key), SF_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(paths), cmocka_unit_test(long_names) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
