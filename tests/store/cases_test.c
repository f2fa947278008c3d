/* The container with one rank: damage of every kind, a writer that dies, files of others. */
#include "base/mem.h"
#include "base/path.h"
#include "base/rng.h"
#include "store/h5.h"
#include "store/trailer.h"
#include "tests/store/made_cases.h"
#include "tests/support/support.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[SF_PATH_MAX], copy[SF_PATH_MAX];

static sf_status write_all(const char *to, int n)
{
    sf_cases_writer *w;
    json_t *meta = tst_make_meta();
    sf_status st = sf_cases_create(&w, sf_comm_self(), to, meta);
    json_decref(meta);
    if (st != SF_OK) return st;
    for (int k = 0; k < n && st == SF_OK; k++) {
        sf_prepared *p = tst_make_case(k);
        st = sf_cases_add_round(w, p);
        sf_prepared_destroy(&p);
        if (st == SF_OK) st = sf_cases_add_round(w, NULL);
    }
    const sf_status end = sf_cases_finish(&w, st == SF_OK);
    return st == SF_OK ? end : st;
}

static int setup(void **state)
{
    (void)state;
    tst_ok(sf_path_join(path, tst_tmp_dir(), "cases.h5", NULL));
    tst_ok(sf_path_join(copy, tst_tmp_dir(), "copy.h5", NULL));
    tst_ok(write_all(path, TST_CASES));
    return 0;
}

static void expect(sf_status want, bool check)
{
    sf_cases *c = NULL;
    const sf_status st = sf_cases_open(&c, copy, check);
    if (st != want) print_error("got %d: %s\n", (int)st, sf_error_text());
    assert_int_equal(st, want);
    assert_true((c != NULL) == (want == SF_OK));
    if (want != SF_OK) assert_non_null(strstr(sf_error_text(), copy)); /* names the file */
    sf_cases_close(&c);
}

static void put_copy(const char *data, size_t size)
{
    FILE *f = fopen(copy, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static void test_round_trip(void **state)
{
    (void)state;
    sf_cases *c;
    sf_case_view v;
    for (int check = 0; check < 2; check++) {
        tst_ok(sf_cases_open(&c, path, check));
        assert_int_equal(tst_compare_cases(c, TST_CASES), 0);
        assert_int_equal(sf_cases_index(c, "case_9"), -1);
        assert_int_equal(sf_cases_index(c, ""), -1);
        assert_int_equal(sf_cases_get(c, TST_CASES, &v), SF_EINTERNAL);
        assert_int_equal(sf_cases_get(c, -1, &v), SF_EINTERNAL);
        sf_cases_close(&c);
        assert_null(c);
    }
    /* a reader of the old file keeps it while a new one takes its place */
    tst_ok(sf_path_copy(path, copy));
    tst_ok(sf_cases_open(&c, copy, false));
    tst_ok(write_all(copy, 2));
    assert_int_equal(tst_compare_cases(c, TST_CASES), 0);
    sf_cases_close(&c);
    tst_ok(sf_cases_open(&c, copy, true));
    assert_int_equal(tst_compare_cases(c, 2), 0);
    sf_cases_close(&c);
    tst_ok(write_all(copy, 0)); /* no case at all */
    tst_ok(sf_cases_open(&c, copy, true));
    assert_int_equal(sf_cases_count(c), 0);
    sf_cases_close(&c);
}

/* HDF5 itself reads the sealed file, and what the documentation says of the layout is true. */
static void test_layout(void **state)
{
    (void)state;
    hid_t file, dset;
    sf_h5_array a;
    char *text;
    tst_ok(sf_h5_open_read(&file, path));
    tst_ok(sf_h5_open_array(&dset, &a, file, "/cases/case_004/data", H5T_IEEE_F32LE));
    assert_int_equal(a.ndim, 4);
    assert_int_equal(a.dim[1], 20);
    assert_int_equal(a.offset % 4096, 0);
    int64_t crc;
    tst_ok(sf_h5_get_i64(&crc, 1, dset, "crc32"));
    assert_int_equal(sf_h5_get_i64(&crc, 2, dset, "crc32"), SF_EDATA);
    assert_int_equal(sf_h5_get_text(&text, dset, "crc32"), SF_EDATA);
    assert_int_equal(sf_h5_get_i64(&crc, 1, dset, "absent"), SF_EIO);
    H5Dclose(dset);
    assert_int_equal(sf_h5_open_array(&dset, &a, file, "/cases/case_004/data", H5T_STD_I16LE),
                     SF_EDATA);
    H5Fclose(file);
}

/* Every changed byte is found: by a full check always, by the quick one unless it lies in data or
 * seg. */
static void test_flips(void **state)
{
    (void)state;
    char *data;
    size_t size, quiet = 0;
    sf_rng r;
    tst_ok(sf_path_read(&data, &size, path, 0));
    sf_rng_init(&r, &(sf_rng_key){ .seed = 1, .purpose = SF_RNG_TEST });
    for (int i = 0; i < 300; i++) {
        /* half of them in the last bytes, where the seal is */
        const size_t span = i % 2 ? size : 700;
        const size_t at = size - 1 - (size_t)sf_rng_below(&r, (int64_t)span);
        const char old = data[at];
        data[at] ^= (char)(1 << sf_rng_below(&r, 8));
        put_copy(data, size);
        expect(SF_EDATA, true);
        sf_cases *c = NULL;
        if (sf_cases_open(&c, copy, false) == SF_OK) {
            const int where = tst_compare_cases(c, TST_CASES);
            assert_true(where == 0 || (where >= 10 && where < 1000)); /* 0: between two arrays */
            quiet++;
        }
        sf_cases_close(&c);
        data[at] = old;
    }
    assert_in_range(quiet, 1, 149);
    sf_mem_free(data);
}

static void test_cuts(void **state)
{
    (void)state;
    char *data;
    size_t size;
    sf_rng r;
    tst_ok(sf_path_read(&data, &size, path, 0));
    sf_rng_init(&r, &(sf_rng_key){ .seed = 2, .purpose = SF_RNG_TEST });
    for (int i = 0; i < 150; i++) {
        const size_t n = i == 0 ? 0 : i == 1 ? size - 1 : (size_t)sf_rng_below(&r, (int64_t)size);
        put_copy(data, n);
        expect(SF_EDATA, i % 2);
    }
    put_copy(data, size);
    expect(SF_OK, true);
    FILE *f = fopen(copy, "ab"); /* longer is damaged as well */
    fputc('\n', f);
    fclose(f);
    expect(SF_EDATA, false);
    sf_mem_free(data);
}

/* The seal is right, but what it seals is no container. */
static void seal_and_expect(const char *data, size_t size)
{
    put_copy(data, size);
    tst_ok(sf_trailer_append(copy, NULL, 0));
    expect(SF_EDATA, false);
    expect(SF_EDATA, true);
}

static void test_foreign(void **state)
{
    (void)state;
    char noise[5000];
    char *data;
    size_t size;
    hid_t file;
    sf_rng r;
    sf_rng_init(&r, &(sf_rng_key){ .seed = 3, .purpose = SF_RNG_TEST });
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (char)sf_rng_below(&r, 256);
    put_copy(noise, sizeof noise);
    expect(SF_EDATA, false);
    seal_and_expect(noise, sizeof noise);
    seal_and_expect(noise, 0);
    memcpy(noise, "\211HDF\r\n\032\n", 8);
    seal_and_expect(noise, sizeof noise);
    /* a whole HDF5 file, not ours: without and with a seal */
    tst_ok(sf_h5_create(&file, sf_comm_self(), copy, 0));
    H5Fclose(file);
    tst_ok(sf_path_read(&data, &size, copy, 0));
    expect(SF_EDATA, true);
    seal_and_expect(data, size);
    sf_mem_free(data);
    /* no file, a folder */
    tst_ok(sf_path_remove(copy));
    expect(SF_EIO, false);
    tst_ok(sf_path_make_dirs(copy));
    expect(SF_EDATA, false);
    tst_ok(sf_path_remove(copy));
}

/* A container that its own writer would refuse, with a right seal. */
static void test_contradictions(void **state)
{
    (void)state;
    char *data;
    size_t size;
    int64_t bytes, found = 0;
    int fd = open(path, O_RDONLY);
    tst_ok(sf_trailer_verify(fd, path, true, &bytes));
    close(fd);
    tst_ok(sf_path_read(&data, &size, path, 0));
    /* every place where the shape 20,21,22 is stored as an attribute or extent: make one axis 23 */
    const int64_t shape[3] = { 20, 21, 22 };
    for (size_t at = 0; at + sizeof shape <= (size_t)bytes; at++) {
        if (memcmp(data + at, shape, sizeof shape) != 0) continue;
        data[at] = 23;
        put_copy(data, (size_t)bytes);
        tst_ok(sf_trailer_append(copy, NULL, 0));
        sf_cases *c = NULL;
        const sf_status st = sf_cases_open(&c, copy, true);
        assert_true(st == SF_EDATA ||
                    st == SF_OK); /* OK: shape_after_crop, which nothing contradicts */
        found += st == SF_EDATA;
        sf_cases_close(&c);
        data[at] = 20;
    }
    assert_in_range(found, 2, 10);
    sf_mem_free(data);
}

static void test_refused(void **state)
{
    (void)state;
    const char *const bad[] = { "", ".", "a/b", NULL };
    tst_ok(sf_path_remove(copy));
    for (int i = 0; i < 5; i++) {
        sf_cases_writer *w;
        sf_prepared *p = tst_make_case(3);
        if (i < 4) {
            sf_mem_free(p->id);
            p->id = NULL;
            if (bad[i]) tst_ok(sf_mem_strdup(&p->id, bad[i]));
        } else {
            p->loc.row[0][0][2] = 22; /* outside */
        }
        tst_ok(sf_cases_create(&w, sf_comm_self(), copy, NULL));
        assert_int_equal(sf_cases_add_round(w, p), SF_EINVAL);
        assert_int_equal(sf_cases_add_round(w, NULL), SF_EINTERNAL);
        assert_int_equal(sf_cases_finish(&w, true), SF_ECOMM);
        assert_false(sf_path_is_file(copy));
        sf_prepared_destroy(&p);
    }
}

/* The process ends in the middle: no file under the final name, an older one stays. */
static void test_killed_writer(void **state)
{
    (void)state;
    for (int older = 0; older < 2; older++) {
        tst_ok(sf_path_remove(copy));
        if (older) tst_ok(sf_path_copy(path, copy));
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            sf_cases_writer *w;
            sf_prepared *p = tst_make_case(0);
            if (sf_cases_create(&w, sf_comm_self(), copy, NULL) != SF_OK) _exit(1);
            if (sf_cases_add_round(w, p) != SF_OK) _exit(2);
            _exit(9);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(WEXITSTATUS(status), 9);
        assert_int_equal(sf_path_is_file(copy), older);
        if (older) expect(SF_OK, true);
        tst_ok(sf_path_sweep_tmp(tst_tmp_dir()));
    }
}

/* What a cascade's first stage hands on: labels without an image. Neither of both: refused. */
static void test_labels_alone(void **state)
{
    (void)state;
    sf_cases_writer *w;
    sf_cases *c;
    sf_case_view v;
    int16_t seg[24];
    for (int i = 0; i < 24; i++) seg[i] = (int16_t)(i % 5);
    char id[] = "only";
    sf_prepared p = { .id = id, .props = { .shape = { 2, 3, 4 } }, .seg = seg };
    tst_ok(sf_cases_create(&w, sf_comm_self(), copy, NULL));
    tst_ok(sf_cases_add_round(w, &p));
    tst_ok(sf_cases_finish(&w, true));
    for (int check = 0; check < 2; check++) {
        tst_ok(sf_cases_open(&c, copy, check));
        tst_ok(sf_cases_get(c, sf_cases_index(c, "only"), &v));
        assert_int_equal(v.channels, 0);
        assert_null(v.data);
        assert_memory_equal(v.seg, seg, sizeof seg);
        sf_cases_close(&c);
    }
    p.seg = NULL;
    tst_ok(sf_cases_create(&w, sf_comm_self(), copy, NULL));
    assert_int_equal(sf_cases_add_round(w, &p), SF_EINVAL);
    assert_int_not_equal(sf_cases_finish(&w, false), SF_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_layout),
        cmocka_unit_test(test_flips),        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_foreign),      cmocka_unit_test(test_contradictions),
        cmocka_unit_test(test_refused),      cmocka_unit_test(test_killed_writer),
        cmocka_unit_test(test_labels_alone),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
