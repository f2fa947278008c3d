/* Gzip streams: unpacked in one go where that works, piece by piece where it does not, with the
 * same bytes and the same words about damage. */
#include "base/mem.h"
#include "base/path.h"
#include "image/gz.h"
#include "tests/support/support.h"
#include <stdlib.h>
#include <string.h>

enum { SIZE = 300000, HEAD = 348 };
static unsigned char plain[SIZE];
static char *packed;
static size_t packed_size;

static const char *file_of(const char *name, const char *bytes, size_t size)
{
    static char path[SF_PATH_MAX];
    tst_ok(sf_path_join(path, tst_tmp_dir(), name, NULL));
    tst_ok(sf_path_write(path, bytes, size));
    return path;
}

static int make(void **state)
{
    (void)state;
    char path[SF_PATH_MAX];
    const sf_piece piece[2] = { { plain, HEAD }, { plain + HEAD, SIZE - HEAD } };
    for (int i = 0; i < SIZE; i++) plain[i] = (unsigned char)(((uint32_t)i * (uint32_t)i / 7) >> 3);
    tst_ok(sf_path_join(path, tst_tmp_dir(), "whole.gz", NULL));
    tst_ok(sf_stream_save(path, piece, 2, 3));
    tst_ok(sf_path_read(&packed, &packed_size, path, 0));
    return 0;
}

static int drop(void **state)
{
    (void)state;
    sf_mem_free(packed);
    return 0;
}

/* A header, most of the data, and the last bytes one by one, as an image reader asks for them. */
static sf_status read_all(const char *path, size_t total, unsigned char *got)
{
    sf_stream *s = NULL;
    sf_status st;
    SF_GOTO(done, st, sf_stream_open(&s, path));
    SF_GOTO(done, st, sf_stream_read(s, got, HEAD));
    SF_GOTO(done, st, sf_stream_read(s, got + HEAD, total - HEAD - 5));
    for (size_t i = total - 5; i < total; i++) SF_GOTO(done, st, sf_stream_read(s, got + i, 1));
    SF_GOTO(done, st, sf_stream_finish(s));
done:
    sf_stream_close(&s);
    return st;
}

static void expect_plain(const char *path, int times)
{
    unsigned char *got = malloc((size_t)times * SIZE);
    tst_ok(read_all(path, (size_t)times * SIZE, got));
    for (int i = 0; i < times; i++) assert_memory_equal(got + i * SIZE, plain, SIZE);
    free(got);
}

static void expect_failure(const char *path, const char *text)
{
    unsigned char *got = malloc(SIZE);
    assert_int_equal(read_all(path, SIZE, got), SF_EDATA);
    if (!strstr(sf_error_text(), text)) fail_msg("'%s' does not say '%s'", sf_error_text(), text);
    free(got);
}

static void test_one_member(void **state)
{
    (void)state;
    expect_plain(file_of("one.gz", packed, packed_size), 1);
}

/* Parallel packers write one member after the other. */
static void test_members(void **state)
{
    (void)state;
    char *two = malloc(2 * packed_size);
    memcpy(two, packed, packed_size);
    memcpy(two + packed_size, packed, packed_size);
    expect_plain(file_of("two.gz", two, 2 * packed_size), 2);
    free(two);
}

/* What follows the last member is ignored, also where it looks like a size. */
static void test_padding(void **state)
{
    (void)state;
    char *long_file = calloc(packed_size + 512, 1);
    memcpy(long_file, packed, packed_size);
    expect_plain(file_of("zeros.gz", long_file, packed_size + 512), 1);
    memset(long_file + packed_size, 0xff, 512);
    expect_plain(file_of("ones.gz", long_file, packed_size + 512), 1);
    free(long_file);
}

static void test_damage(void **state)
{
    (void)state;
    char *bad = malloc(packed_size);
    memcpy(bad, packed, packed_size);
    expect_failure(file_of("cut.gz", bad, packed_size / 2), "cut short");
    bad[packed_size / 2] = (char)(bad[packed_size / 2] ^ 0x55);
    expect_failure(file_of("flipped.gz", bad, packed_size), "damaged");
    memcpy(bad, packed, packed_size);
    bad[packed_size - 8] = (char)(bad[packed_size - 8] ^ 1); /* the checksum alone */
    expect_failure(file_of("sum.gz", bad, packed_size), "damaged");
    free(bad);
}

/* More than the file holds. */
static void test_too_much(void **state)
{
    (void)state;
    unsigned char *got = malloc(SIZE + 100);
    assert_int_equal(read_all(file_of("more.gz", packed, packed_size), SIZE + 100, got), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "ends after 300000 bytes"));
    free(got);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_one_member),
                                        cmocka_unit_test(test_members),
                                        cmocka_unit_test(test_padding),
                                        cmocka_unit_test(test_damage),
                                        cmocka_unit_test(test_too_much) };
    return cmocka_run_group_tests(tests, make, drop);
}
