/* The container written by any number of ranks: same content, and all ranks see every failure. */
#include "base/path.h"
#include "tests/mpi/check.h"
#include "tests/store/made_cases.h"
#include "tests/support/support.h"
#include <unistd.h>

/* Round by round; rank r of n takes cases r, r + n, ... */
static sf_status write_cases(sf_comm *c, const char *path, bool last_rank_repeats, bool say_ok)
{
    sf_cases_writer *w = NULL;
    json_t *meta = sf_comm_rank(c) == 0 ? tst_make_meta() : NULL;
    const int rank = sf_comm_rank(c), size = sf_comm_size(c);
    sf_status st = sf_cases_create(&w, c, path, meta);
    json_decref(meta);
    if (st != SF_OK) return st;
    for (int k = 0; k < TST_CASES && st == SF_OK; k += size) {
        const bool repeat = last_rank_repeats && k > 0 && rank == size - 1;
        sf_prepared *p = tst_make_case(repeat ? rank : k + rank);
        st = sf_cases_add_round(w, p);
        sf_prepared_destroy(&p);
    }
    const sf_status end = sf_cases_finish(&w, st == SF_OK && say_ok);
    CHECK(w == NULL);
    return st == SF_OK ? end : st;
}

static void check_content(const char *path)
{
    sf_cases *c;
    CHECK_OK(sf_cases_open(&c, path, true));
    CHECK(tst_compare_cases(c, TST_CASES) == 0);
    sf_cases_close(&c);
    CHECK_OK(sf_cases_open(&c, path, false));
    CHECK(tst_compare_cases(c, TST_CASES) == 0);
    sf_cases_close(&c);
}

static void check_same_as_one_rank(const char *path, const char *alone)
{
    sf_cases *a, *b;
    char x[65], y[65];
    CHECK_OK(write_cases(sf_comm_self(), alone, false, true));
    CHECK_OK(sf_cases_open(&a, path, true));
    CHECK_OK(sf_cases_open(&b, alone, true));
    tst_digest_cases(x, a);
    tst_digest_cases(y, b);
    CHECK(strcmp(x, y) == 0);
    for (int i = 0; i < TST_CASES; i++) { /* sorted by id */
        sf_case_view v;
        char id[32];
        snprintf(id, sizeof id, "case_%03d", i);
        CHECK_OK(sf_cases_get(a, i, &v));
        CHECK(strcmp(v.id, id) == 0);
    }
    sf_cases_close(&a);
    sf_cases_close(&b);
}

static void check_empty(const char *dir)
{
    char **names;
    size_t n;
    CHECK_OK(sf_comm_barrier(sf_comm_world()));
    CHECK_OK(sf_path_list(&names, &n, dir));
    CHECK(n == 0);
    sf_path_free_list(&names, n);
    CHECK_OK(sf_comm_barrier(sf_comm_world()));
}

static void test_failures(sf_comm *world, const char *dir, const char *path)
{
    const int rank = sf_comm_rank(world), size = sf_comm_size(world);
    sf_error_clear();
    CHECK(write_cases(world, path, true, true) == (size < TST_CASES ? SF_EINVAL : SF_OK));
    if (size < TST_CASES) CHECK(strstr(sf_error_text(), "given twice") != NULL);
    if (size < TST_CASES) check_empty(dir);
    /* one rank says no, with a reason of its own */
    if (rank == size - 1) SF_FAIL(SF_EDATA, "image 17 is broken");
    CHECK(write_cases(world, path, false, rank != size - 1) == SF_ECOMM);
    CHECK(strstr(sf_error_text(), "image 17 is broken") != NULL);
    check_empty(dir);
    CHECK(write_cases(world, "/nonexistent/folder/x.h5", false, true) == SF_EIO);
    CHECK(strstr(sf_error_text(), "/nonexistent/folder/x.h5") != NULL);
}

/* The last rank dies between two rounds; the caller looks for what is left. */
static int die(const char *path)
{
    sf_cases_writer *w;
    sf_comm *world = sf_comm_world();
    sf_prepared *p = tst_make_case(sf_comm_rank(world));
    CHECK_OK(sf_cases_create(&w, world, path, NULL));
    CHECK_OK(sf_cases_add_round(w, p));
    if (sf_comm_rank(world) == sf_comm_size(world) - 1) _exit(9);
    (void)sf_cases_add_round(w, NULL);
    return 0;
}

int main(int argc, char **argv)
{
    char dir[SF_PATH_MAX] = "", fail_dir[SF_PATH_MAX], path[SF_PATH_MAX], alone[SF_PATH_MAX];
    CHECK_OK(sf_mpi_start(&argc, &argv));
    if (argc == 2) return die(argv[1]);
    sf_comm *world = sf_comm_world();
    if (sf_comm_rank(world) == 0) CHECK_OK(sf_path_format(dir, "%s", tst_tmp_dir()));
    CHECK_OK(sf_comm_bcast(world, dir, sizeof dir, 0));
    CHECK_OK(sf_path_join(path, dir, "many.h5", NULL));
    CHECK_OK(sf_path_join(alone, dir, "alone.h5", NULL));
    CHECK_OK(sf_path_join(fail_dir, dir, "fail", NULL));
    for (int again = 0; again < 2; again++) { /* the second time over the first file */
        CHECK_OK(write_cases(world, path, false, true));
        check_content(path);
        CHECK_OK(sf_comm_barrier(world));
    }
    if (sf_comm_rank(world) == 0) check_same_as_one_rank(path, alone);
    CHECK_OK(sf_path_make_dirs(fail_dir));
    CHECK_OK(sf_path_join(path, fail_dir, "x.h5", NULL));
    CHECK_OK(sf_comm_barrier(world));
    test_failures(world, fail_dir, path);
    CHECK_OK(sf_comm_barrier(world));
    sf_mpi_stop();
    CHECK(sf_mem_live(SF_MEM_CATEGORIES) == 0);
    return 0;
}
