/** run.json: what a work folder was started with binds it, option by option. */
#include "base/json.h"
#include "base/mem.h"
#include "fleet/settings.h"
#include "tests/support/support.h"
#include <stdio.h>
#include <string.h>

static char work[SF_PATH_MAX];

static int fresh(void **state)
{
    (void)state;
    tst_ok(sf_path_join(work, tst_tmp_dir(), "w", NULL));
    tst_ok(sf_path_remove(work));
    return 0;
}

static sf_settings given(void)
{
    sf_settings s;
    sf_settings_default(&s);
    strcpy(s.dataset, "/data/Dataset001_X");
    s.seed = 18446744073709551615u;
    s.epochs = 7;
    s.memory_gb = 1.5;
    return s;
}

static void round_trip(void **state)
{
    const sf_settings s = given();
    sf_settings t;
    (void)state;
    assert_int_equal(sf_settings_load(&t, work), SF_EINVAL);
    assert_non_null(strstr(sf_error_text(), "segfleet run"));
    tst_ok(sf_settings_store(&s, work));
    tst_ok(sf_settings_store(&s, work)); /* the same again is fine */
    memset(&t, 0, sizeof t);
    tst_ok(sf_settings_load(&t, work));
    assert_string_equal(t.dataset, s.dataset);
    assert_string_equal(t.recipe, "paper");
    assert_string_equal(t.groups, "");
    assert_true(t.seed == s.seed && t.epochs == 7 && t.num_folds == 5 && t.memory_gb == 1.5);
    assert_true(t.iterations == 0 && t.batch == 0 && t.mirror && !t.exact);
}

static void refused(const sf_settings *s, const char *option)
{
    assert_int_equal(sf_settings_store(s, work), SF_EINVAL);
    if (!strstr(sf_error_text(), option)) fail_msg("no '%s' in: %s", option, sf_error_text());
    assert_non_null(strstr(sf_error_text(), "run.json"));
}

#define CHANGED(option, change)                                                                    \
    do {                                                                                           \
        sf_settings s = given();                                                                   \
        change;                                                                                    \
        refused(&s, option);                                                                       \
    } while (0)

static void another_option(void **state)
{
    const sf_settings first = given();
    (void)state;
    tst_ok(sf_settings_store(&first, work));
    CHANGED("DATASET", strcpy(s.dataset, "/data/other"));
    CHANGED("--recipe", strcpy(s.recipe, "nnunetv2"));
    CHANGED("--num-folds", s.num_folds = 4);
    CHANGED("--epochs (7, now 8)", s.epochs = 8);
    CHANGED("--iterations", s.iterations = 1);
    CHANGED("--batch-size", s.batch = 3);
    CHANGED("--seed", s.seed--);
    CHANGED("--no-mirroring", s.mirror = false);
    CHANGED("--conv", s.exact = true);
    CHANGED("--precision", s.precision = SF_BF16);
    CHANGED("--memory-gb", s.memory_gb = 2);
    CHANGED("--groups", strcpy(s.groups, "/g"));
    CHANGED("--splits", strcpy(s.splits, "/s.json"));
    CHANGED("--variant", strcpy(s.variant, "ce"));
    tst_ok(sf_settings_store(&first, work)); /* refusals changed nothing */
}

/* A folder of an earlier version, whose run.json does not tell the precision: float32. */
static void no_precision(void **state)
{
    char path[SF_PATH_MAX];
    json_t *j;
    sf_settings s = given(), t;
    (void)state;
    s.precision = SF_BF16;
    tst_ok(sf_settings_store(&s, work));
    tst_ok(sf_settings_load(&t, work));
    assert_true(t.precision == SF_BF16);
    s.precision = SF_F32;
    refused(&s, "--precision (\"bf16\", now \"fp32\")");
    tst_ok(sf_path_join(path, work, "run.json", NULL));
    tst_ok(sf_json_load(&j, path));
    assert_int_equal(json_object_del(j, "precision"), 0);
    tst_ok(sf_json_save(j, path, 4, false));
    json_decref(j);
    tst_ok(sf_settings_load(&t, work));
    assert_true(t.precision == SF_F32);
    tst_ok(sf_settings_store(&s, work));
    s.precision = SF_BF16;
    refused(&s, "--precision");
}

static void damaged(void **state)
{
    static const char *const text[] = { "", "{", "[]", "{\"dataset\": 3}" };
    const sf_settings s = given();
    sf_settings t;
    char path[SF_PATH_MAX], *good, *at;
    size_t size;
    (void)state;
    tst_ok(sf_settings_store(&s, work));
    tst_ok(sf_path_join(path, work, "run.json", NULL));
    tst_ok(sf_path_read(&good, &size, path, 0));
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        tst_ok(sf_path_write(path, text[i], strlen(text[i])));
        assert_int_equal(sf_settings_load(&t, work), SF_EDATA);
        assert_non_null(strstr(sf_error_text(), "run.json"));
    }
    at = strstr(good, "18446744073709551615");
    assert_non_null(at);
    at[3] = 'x';
    tst_ok(sf_path_write(path, good, size));
    assert_int_equal(sf_settings_load(&t, work), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "seed"));
    sf_mem_free(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(round_trip, fresh),
        cmocka_unit_test_setup(another_option, fresh),
        cmocka_unit_test_setup(no_precision, fresh),
        cmocka_unit_test_setup(damaged, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
