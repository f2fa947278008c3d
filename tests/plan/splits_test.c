/** Splits: the vectors of nnunet-planning.md 10.6 and oracle/facts.json; few cases, groups, files.
 */
#include "base/mem.h"
#include "base/path.h"
#include "plan/splits.h"
#include "tests/plan/plan_check.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_IDS = 1200 };
static char names[MAX_IDS][24];
static const char *ids[MAX_IDS];

static void make_ids(int n)
{
    for (int i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "case_%04d", i);
        ids[i] = names[i];
    }
}

static int number(const char *id) { return atoi(id + 5); }

static void same_indices(const sf_id_list *l, const int *want, int n)
{
    assert_int_equal(l->count, n);
    for (int i = 0; i < n; i++) assert_int_equal(number(l->id[i]), want[i]);
}

static void vectors(void **state)
{
    static const int val10[5][2] = { { 0, 7 }, { 3, 9 }, { 4, 6 }, { 1, 8 }, { 2, 5 } };
    static const int val20[5][4] = {
        { 3, 8, 13, 16 }, { 0, 10, 12, 15 }, { 6, 7, 11, 17 }, { 9, 14, 18, 19 }, { 1, 2, 4, 5 }
    };
    static const int extra10[] = { 0, 8, 4, 5, 3, 9, 7, 6 }, extra7[] = { 6, 1, 2, 0, 4 };
    sf_splits *s = NULL;
    sf_id_list train, val;
    (void)state;
    make_ids(20);
    tst_ok(sf_splits_make(&s, ids, 10, 5, NULL));
    for (int f = 0; f < 5; f++) same_indices(&s->val[f], val10[f], 2);
    tst_ok(sf_splits_fold(&train, &val, s, 5));
    same_indices(&train, extra10, 8);
    assert_int_equal(val.count, 2);
    sf_id_list_free(&train);
    sf_id_list_free(&val);
    sf_splits_destroy(&s);
    tst_ok(sf_splits_make(&s, ids, 20, 5, NULL));
    for (int f = 0; f < 5; f++) same_indices(&s->val[f], val20[f], 4);
    sf_splits_destroy(&s);
    tst_ok(sf_splits_make(&s, ids, 7, 5, NULL));
    tst_ok(sf_splits_fold(&train, &val, s, 6));
    same_indices(&train, extra7, 5);
    sf_id_list_free(&train);
    sf_id_list_free(&val);
    sf_splits_destroy(&s);
}

static void same_ids(const sf_id_list *l, const json_t *want)
{
    assert_int_equal(l->count, (int)json_array_size(want));
    for (int i = 0; i < l->count; i++)
        assert_string_equal(l->id[i], json_string_value(json_array_get(want, (size_t)i)));
}

static void oracle(void **state)
{
    json_t *facts = NULL, *folds;
    const char *path = tst_shared("oracle/facts.json"), *key;
    int seen = 0;
    (void)state;
    if (!path) skip();
    tst_ok(sf_json_load(&facts, path));
    json_object_foreach(json_object_get(facts, "splits"), key, folds)
    {
        sf_splits *s = NULL;
        const int n = atoi(key);
        assert_true(n <= MAX_IDS);
        make_ids(n);
        tst_ok(sf_splits_make(&s, ids, n, 5, NULL));
        assert_int_equal(s->count, (int)json_array_size(folds));
        for (int f = 0; f < s->count; f++) {
            const json_t *one = json_array_get(folds, (size_t)f);
            same_ids(&s->train[f], json_object_get(one, "train"));
            same_ids(&s->val[f], json_object_get(one, "val"));
        }
        sf_splits_destroy(&s);
        seen++;
    }
    print_message("%d splits equal\n", seen);
    assert_true(seen > 0);
    json_decref(facts);
}

static void few_cases(void **state)
{
    sf_splits *s = NULL;
    sf_id_list train, val;
    (void)state;
    make_ids(4);
    tst_ok(sf_splits_make(&s, ids, 4, 5, NULL));
    assert_int_equal(s->count, 4);
    for (int f = 0; f < 4; f++) {
        assert_int_equal(s->val[f].count, 1);
        assert_int_equal(s->train[f].count, 3);
    }
    sf_splits_destroy(&s);
    tst_ok(sf_splits_make(&s, ids, 1, 5, NULL));
    assert_int_equal(s->count, 0);
    assert_int_equal(sf_splits_fold(&train, &val, s, 0), SF_EINVAL);
    tst_ok(sf_splits_fold(&train, &val, s, SF_FOLD_ALL));
    assert_int_equal(train.count, 1);
    assert_int_equal(val.count, 1);
    sf_id_list_free(&train);
    sf_id_list_free(&val);
    sf_splits_destroy(&s);
}

/** One case survives the file: still no folds, still fold all. */
static void one_case_in_a_file(void **state)
{
    char path[SF_PATH_MAX];
    sf_splits *s = NULL;
    sf_id_list train, val;
    (void)state;
    make_ids(1);
    tst_ok(sf_splits_make(&s, ids, 1, 5, NULL));
    tst_ok(sf_path_join(path, tst_tmp_dir(), "one.json", NULL));
    tst_ok(sf_splits_save(s, path));
    sf_splits_destroy(&s);
    tst_ok(sf_splits_load(&s, path));
    assert_int_equal(s->count, 0);
    tst_ok(sf_splits_fold(&train, &val, s, SF_FOLD_ALL));
    assert_string_equal(train.id[0], ids[0]);
    sf_id_list_free(&train);
    sf_id_list_free(&val);
    sf_splits_destroy(&s);
}

static void groups_stay_together(void **state)
{
    const char *groups[23];
    char group_names[23][16];
    sf_splits *s = NULL;
    int sizes[5] = { 0 };
    (void)state;
    make_ids(23);
    for (int i = 0; i < 23; i++) {
        snprintf(group_names[i], sizeof group_names[i], "p%d", i / 3);
        groups[i] = group_names[i];
    }
    tst_ok(sf_splits_make(&s, ids, 23, 5, groups));
    assert_int_equal(s->count, 5);
    for (int f = 0; f < 5; f++) {
        assert_int_equal(s->train[f].count + s->val[f].count, 23);
        sizes[f] = s->val[f].count;
        for (int i = 0; i < s->val[f].count; i++)
            for (int k = 0; k < s->train[f].count; k++)
                assert_int_not_equal(number(s->val[f].id[i]) / 3, number(s->train[f].id[k]) / 3);
    }
    for (int f = 0; f < 5; f++) assert_in_range(sizes[f], 3, 6);
    sf_splits_destroy(&s);
}

static void files(void **state)
{
    char path[SF_PATH_MAX], map[SF_PATH_MAX], **groups = NULL;
    sf_splits *s = NULL, *again = NULL;
    static const char text[] = "case_0000 a\ncase_0001,b\n# remark\n\ncase_0002\ta\n";
    (void)state;
    make_ids(12);
    tst_ok(sf_path_join(path, tst_tmp_dir(), "splits_final.json", NULL));
    tst_ok(sf_splits_open(&s, path, ids, 12, 5, NULL));
    tst_ok(sf_splits_open(&again, path, ids, 12, 5, NULL));
    assert_int_equal(again->count, 5);
    assert_string_equal(again->val[2].id[0], s->val[2].id[0]);
    sf_splits_destroy(&again);
    assert_int_equal(sf_splits_open(&again, path, ids, 11, 5, NULL), SF_EDATA);
    sf_splits_destroy(&s);
    tst_ok(sf_path_write(path, "[{\"train\": [], \"val\": [\"a\"]}]", 30));
    assert_int_equal(sf_splits_load(&s, path), SF_EDATA);
    static const char twice[] = "[{\"train\": [\"a\"], \"val\": [\"b\", \"c\", \"b\"]}]";
    tst_ok(sf_path_write(path, twice, sizeof twice - 1));
    assert_int_equal(sf_splits_load(&s, path), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "fold 0, \"val\" names a case twice"));
    tst_ok(sf_path_join(map, tst_tmp_dir(), "groups.txt", NULL));
    tst_ok(sf_path_write(map, text, sizeof text - 1));
    tst_ok(sf_splits_groups(&groups, map, ids, 3));
    assert_string_equal(groups[0], groups[2]);
    assert_string_not_equal(groups[0], groups[1]);
    sf_mem_free(groups);
    assert_int_equal(sf_splits_groups(&groups, map, ids, 4), SF_EDATA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),
        cmocka_unit_test(oracle),
        cmocka_unit_test(few_cases),
        cmocka_unit_test(one_case_in_a_file),
        cmocka_unit_test(groups_stay_together),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
