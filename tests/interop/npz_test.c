/* .npz files: ours read by a reader written here from the format descriptions (ZIP, deflate by
 * zlib, .npy), files made by hand read by ours, damage refused. */
#include "base/mem.h"
#include "base/path.h"
#include "build.h"
#include "interop/npz.h"
#include "interop/zip.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static tst_bytes file, npy;

static const char *path_of(const char *name)
{
    static char path[SF_PATH_MAX];
    tst_ok(sf_path_join(path, tst_tmp_dir(), name, NULL));
    return path;
}

static uint64_t le(const char *b, int bytes)
{
    uint64_t v = 0;
    for (int i = bytes; i-- > 0;) v = v << 8 | (unsigned char)b[i];
    return v;
}

/* The only member of an archive, unpacked; every field of the three headers is looked at. */
static size_t independent_unzip(const char *zip, size_t size, const char *name, char *out,
                                size_t room)
{
    const char *end = zip + size - 22, *dir, *local;
    assert_int_equal(le(end, 4), 0x06054b50);
    assert_int_equal(le(end + 8, 2), 1); /* entries on this disk, in all */
    assert_int_equal(le(end + 10, 2), 1);
    dir = zip + le(end + 16, 4);
    assert_ptr_equal(dir + le(end + 12, 4), end);
    assert_int_equal(le(dir, 4), 0x02014b50);
    assert_int_equal(le(dir + 10, 2), 8);                    /* deflate */
    assert_int_equal(le(dir + 12, 4), (uint64_t)0x21 << 16); /* 1980-01-01 00:00 */
    local = zip + le(dir + 42, 4);
    assert_ptr_equal(local, zip);
    assert_int_equal(le(local, 4), 0x04034b50);
    assert_memory_equal(local + 4, dir + 6, 26); /* both headers say the same */
    assert_int_equal(le(local + 26, 2), strlen(name));
    assert_memory_equal(local + 30, name, strlen(name));
    assert_memory_equal(dir + 46, name, strlen(name));
    const char *data = local + 30 + le(local + 26, 2) + le(local + 28, 2);
    assert_ptr_equal(data + le(local + 18, 4), dir);
    z_stream s = { 0 };
    assert_int_equal(inflateInit2(&s, -15), Z_OK);
    s.next_in = (z_const Bytef *)(uintptr_t)data;
    s.avail_in = (uInt)le(local + 18, 4);
    s.next_out = (Bytef *)out;
    s.avail_out = (uInt)room;
    assert_int_equal(inflate(&s, Z_FINISH), Z_STREAM_END);
    const size_t n = s.total_out;
    inflateEnd(&s);
    assert_int_equal(n, le(local + 22, 4));
    assert_int_equal(crc32(0, (const Bytef *)out, (uInt)n), le(local + 14, 4));
    return n;
}

static void writes_what_numpy_reads(void **state)
{
    (void)state;
    enum { N = 2 * 3 * 4 * 5 };
    static const char dict[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 4, 5), }";
    const int64_t dim[4] = { 2, 3, 4, 5 };
    float p[N], stored[N];
    char out[4096], *zip = NULL, *again = NULL;
    size_t size, size2;
    for (int i = 0; i < N; i++) p[i] = (float)i / 7.0f;
    tst_ok(sf_npz_save(path_of("a.npz"), "probabilities", p, 4, dim));
    tst_ok(sf_path_read(&zip, &size, path_of("a.npz"), 0));
    const size_t n = independent_unzip(zip, size, "probabilities.npy", out, sizeof out);
    assert_memory_equal(out, "\x93NUMPY\x01\x00", 8);
    const size_t head = 10 + le(out + 8, 2);
    assert_int_equal(head % 64, 0);
    assert_memory_equal(out + 10, dict, strlen(dict));
    for (size_t i = 10 + strlen(dict); i + 1 < head; i++) assert_int_equal(out[i], ' ');
    assert_int_equal(out[head - 1], '\n');
    assert_int_equal(n, head + sizeof p);
    memcpy(stored, out + head, sizeof p);
    assert_memory_equal(stored, p, sizeof p);
    /* the same bytes once more */
    tst_ok(sf_npz_save(path_of("b.npz"), "probabilities", p, 4, dim));
    tst_ok(sf_path_read(&again, &size2, path_of("b.npz"), 0));
    assert_int_equal(size, size2);
    assert_memory_equal(zip, again, size);
    sf_mem_free(zip);
    sf_mem_free(again);
}

static sf_status load(float **data, int *ndim, int64_t *dim)
{
    static const char *const names[] = { "probabilities", "softmax" };
    return sf_npz_load(data, ndim, dim, path_of("a.npz"), names, 2);
}

static void reads_its_own(void **state)
{
    (void)state;
    enum { N = 300000 }; /* several blocks of the deflater */
    const int64_t dim[3] = { 3, 100, 1000 };
    float *p = NULL, *back = NULL;
    int ndim;
    int64_t got[SF_NPZ_MAX_DIMS];
    tst_ok(sf_mem_alloc(&p, N, sizeof *p, SF_MEM_MISC));
    uint32_t r = 1;
    for (int i = 0; i < N; i++) p[i] = (float)(r = r * 1664525 + 1013904223) * 0x1p-32f;
    tst_ok(sf_npz_save(path_of("a.npz"), "softmax", p, 3, dim));
    tst_ok(load(&back, &ndim, got));
    assert_int_equal(ndim, 3);
    assert_memory_equal(got, dim, sizeof dim);
    assert_memory_equal(p, back, N * sizeof *p);
    sf_mem_free(p);
    sf_mem_free(back);
}

/* An .npy of given dictionary and elements in an archive of stored members. */
static void by_hand(const char *name, int version, const char *dict, const void *data, size_t n)
{
    npy.n = 0;
    tst_put(&npy, "\x93NUMPY", 6);
    tst_put_int(&npy, (uint64_t)version, 1);
    tst_put_int(&npy, 0, 1);
    tst_put_int(&npy, strlen(dict), version == 1 ? 2 : 4);
    tst_put_text(&npy, dict);
    tst_put(&npy, data, n);
    const tst_member m = { name, npy.data, npy.n };
    tst_zip(&file, &m, 1, 0, 0);
    tst_ok(sf_path_write(path_of("a.npz"), file.data, file.n));
}

static void reads_other_types(void **state)
{
    (void)state;
    static const uint16_t half[6] = { 0x3c00, 0xc000, 0x3555, 0x0001, 0x8000, 0x7c00 };
    const double wide[6] = { 1, -2, 0.25, 3, 4, 5 };
    float *v = NULL;
    int ndim;
    int64_t dim[SF_NPZ_MAX_DIMS];
    by_hand("softmax.npy", 1, "{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3), }", half,
            sizeof half);
    tst_ok(load(&v, &ndim, dim));
    assert_true(v[0] == 1 && v[1] == -2 && v[2] == 0x1.554p-2f && v[3] == 0x1p-24f);
    assert_true(v[4] == 0 && signbit(v[4]) && isinf(v[5]));
    sf_mem_free(v);
    by_hand("probabilities.npy", 2, "{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3), }\n",
            wide, sizeof wide);
    tst_ok(load(&v, &ndim, dim));
    const float c_order[6] = { 1, 0.25, 4, -2, 3, 5 };
    assert_memory_equal(v, c_order, sizeof c_order);
    sf_mem_free(v);
}

static void refuse(sf_status want, const char *word)
{
    float *v = NULL;
    int ndim;
    int64_t dim[SF_NPZ_MAX_DIMS];
    const sf_status st = load(&v, &ndim, dim);
    if (st != want || strstr(sf_error_text(), word) == NULL)
        fail_msg("status %d, \"%s\"; wanted %d, \"%s\"", st, sf_error_text(), want, word);
    assert_null(v);
}

static void refuses_damage(void **state)
{
    (void)state;
    static const float v[6] = { 0 };
    static const struct {
        const char *dict, *word;
        size_t bytes;
        sf_status st;
    } bad[] = {
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4), }", "shape", 24, SF_EDATA },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", "shape", 20, SF_EDATA },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3", "shape", 24, SF_EDATA },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -3), }", "shape", 24, SF_EDATA },
        { "{'descr': '<f4', 'shape': (4294967296, 4294967296, 2), }", "large", 24, SF_EDATA },
        { "{'descr': '<f4', 'shape': (1,1,1,1,1,1,1,1,6), }", "shape", 24, SF_EDATA },
        { "{'descr': '<i4', 'shape': (2, 3), }", "type", 24, SF_EUNSUPPORTED },
        { "{'descr': '|O', 'shape': (2, 3), }", "type", 24, SF_EUNSUPPORTED },
        { "{'descr'", "type", 24, SF_EDATA },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        by_hand("probabilities.npy", 1, bad[i].dict, v, bad[i].bytes);
        refuse(bad[i].st, bad[i].word);
    }
    by_hand("other.npy", 1, "{'descr': '<f4', 'shape': (2, 3), }", v, sizeof v);
    refuse(SF_EDATA, "probabilities");
    const tst_member tiny = { "probabilities.npy", "\x93NUMP", 5 };
    tst_zip(&file, &tiny, 1, 0, 0);
    tst_ok(sf_path_write(path_of("a.npz"), file.data, file.n));
    refuse(SF_EDATA, "NumPy");
}

/* Every byte of a small deflated archive changed, and every length cut: an error or, where the byte
 * does not matter, the same values; never a crash. */
static void mutations(void **state)
{
    (void)state;
    const int64_t dim[2] = { 4, 9 };
    float p[36], *v = NULL;
    char *zip = NULL;
    size_t size, refused = 0;
    int ndim;
    int64_t got[SF_NPZ_MAX_DIMS];
    for (int i = 0; i < 36; i++) p[i] = (float)i;
    tst_ok(sf_npz_save(path_of("a.npz"), "probabilities", p, 2, dim));
    tst_ok(sf_path_read(&zip, &size, path_of("a.npz"), 0));
    for (size_t i = 0; i < 2 * size; i++) {
        char *bytes = NULL;
        const size_t n = i < size ? size : i - size;
        tst_ok(sf_mem_alloc(&bytes, n, 1, SF_MEM_MISC));
        memcpy(bytes, zip, n);
        if (i < size) bytes[i] = (char)(bytes[i] ^ (1 << i % 8));
        FILE *f = fopen(path_of("a.npz"), "wb");
        assert_int_equal(fwrite(bytes, 1, n, f), n);
        fclose(f);
        sf_mem_free(bytes);
        if (load(&v, &ndim, got) == SF_OK)
            assert_memory_equal(v, p, sizeof p);
        else
            refused++;
        sf_mem_free(v);
    }
    assert_true(refused > size + size / 2);
    sf_mem_free(zip);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(writes_what_numpy_reads),
                                        cmocka_unit_test(reads_its_own),
                                        cmocka_unit_test(reads_other_types),
                                        cmocka_unit_test(refuses_damage),
                                        cmocka_unit_test(mutations) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
