/* Checkpoints made in memory: what is read, what is refused, and that nothing crashes. */
#include "tests/support/support.h"
/* support.h first: cmocka's order */
#include "base/mem.h"
#include "base/path.h"
#include "interop/pickle.h"
#include "interop/torch.h"
#include "interop/zip.h"
#include "tests/interop/build.h"
#include <stdio.h>
#include <string.h>

static tst_bytes pk, file; /* large: not on the stack */

static sf_status load(const tst_bytes *b, sf_torch_checkpoint **c)
{
    char path[SF_PATH_MAX];
    tst_ok(sf_path_join(path, tst_tmp_dir(), "x.pth", NULL));
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b->data, 1, b->n, f), b->n);
    fclose(f);
    return sf_torch_load(c, path);
}

static void whole_checkpoint(void **state)
{
    (void)state;
    sf_torch_checkpoint *c;
    tst_checkpoint_pickle(&pk);
    tst_checkpoint_zip(&file, &pk);
    tst_ok(load(&file, &c));
    assert_int_equal(c->count, 3);
    const sf_torch_tensor *a = sf_torch_find(c, "a"), *again = sf_torch_find(c, "a_again");
    assert_non_null(a); /* prefix "module." is gone */
    assert_int_equal(a->ndim, 2);
    assert_int_equal(a->dim[0] * 10 + a->dim[1], 23);
    const float want[6] = { 0, 2, 4, 1, 3, 5 }; /* strides (1, 2): the transpose */
    assert_memory_equal(a->data, want, sizeof want);
    assert_ptr_equal(a->data, again->data);
    const sf_torch_tensor *half = sf_torch_find(c, "half");
    assert_true(half->data[0] == 1.0f && half->data[1] == -2.0f);
    char *text;
    tst_ok(sf_json_dump(&text, c->meta, 0, false));
    assert_string_equal(text, "{\"current_epoch\": 1000, \"_best_ema\": -0.8125, "
                              "\"inference_allowed_mirroring_axes\": [0, 1], \"init_args\": "
                              "{\"device\": \"cuda\", \"spacing\": [1.5, null, 7, -256]}}");
    sf_mem_free(text);
    sf_torch_destroy(&c);
    assert_null(c);
}

/* --- refusals ------------------------------------------------------------------------------- */

static void expect(sf_status want, const char *word)
{
    sf_torch_checkpoint *c;
    const sf_status st = load(&file, &c);
    if (st != want || !strstr(sf_error_text(), word))
        fail_msg("status %d, text \"%s\"; wanted %d, \"%s\"", st, sf_error_text(), want, word);
    assert_null(c);
}

/** A checkpoint whose weights are one given tensor. */
static void one_tensor(const char *storage, int numel, int offset, int rows, int cols, int rs,
                       int cs)
{
    pk.n = 0;
    tst_put_text(&pk, "\x80\x02}");
    tst_pk_text(&pk, "network_weights");
    tst_put_text(&pk, "}");
    tst_pk_text(&pk, "w");
    tst_pk_tensor(&pk, storage, "0", numel, offset, rows, cols, rs, cs);
    tst_put_text(&pk, "ss.");
    tst_checkpoint_zip(&file, &pk);
}

static void broken_tensors(void **state)
{
    (void)state;
    sf_torch_checkpoint *c;
    one_tensor("FloatStorage", 6, 0, 2, 3, 3, 1);
    tst_ok(load(&file, &c));
    sf_torch_destroy(&c);
    one_tensor("FloatStorage", 6, 1, 2, 3, 3, 1);
    expect(SF_EDATA, "beyond");
    one_tensor("FloatStorage", 6, 0, 2, 3, 4, 1);
    expect(SF_EDATA, "beyond");
    one_tensor("FloatStorage", 6, 0, 1000000, 1000000, 0, 0);
    expect(SF_EDATA, "beyond");
    one_tensor("FloatStorage", 7, 0, 1, 7, 7, 1);
    expect(SF_EDATA, "shorter");
    one_tensor("DoubleStorage", 6, 0, 1, 6, 6, 1);
    expect(SF_EDATA, "shorter");
    one_tensor("FloatStorage", 6, -1, 1, 1, 1, 1);
    expect(SF_EDATA, "shape");
    one_tensor("FloatStorage", 6, 0, 2, -3, 1, 1);
    expect(SF_EDATA, "shape");
    one_tensor("EvilStorage", 6, 0, 2, 3, 3, 1);
    expect(SF_EUNSUPPORTED, "torch EvilStorage");
}

static void pickle_of(const char *bytes, size_t n)
{
    pk.n = 0;
    tst_put(&pk, bytes, n);
    tst_checkpoint_zip(&file, &pk);
}
#define PICKLE(s) pickle_of((s), sizeof(s) - 1)

static void unsafe_pickles(void **state)
{
    (void)state;
    PICKLE("\x80\x02"
           "cos\nsystem\n(X\x02\0\0\0lstR.");
    expect(SF_EUNSUPPORTED, "os system");
    PICKLE("\x80\x04\x8c\x08"
           "builtins\x8c\x04"
           "eval\x93.");
    expect(SF_EUNSUPPORTED, "builtins eval");
    PICKLE("\x80\x02(i__main__\nX\n.");
    expect(SF_EUNSUPPORTED, "0x69");
    PICKLE("\x80\x09.");
    expect(SF_EUNSUPPORTED, "protocol 9");
    PICKLE("\x80\x02}s.");
    expect(SF_EDATA, "broken pickle");
    PICKLE("\x80\x02}");
    expect(SF_EDATA, "cut off");
    PICKLE("\x80\x02}r\xff\xff\xff\x7f.");
    expect(SF_EDATA, "memo");
    PICKLE("\x80\x02X\xff\xff\xff\xff.");
    expect(SF_EDATA, "cut off");
    PICKLE("\x80\x02}.");
    expect(SF_EDATA, "network_weights");
}

/** A list that holds itself, and lists that double at each level: refused, not followed for ever.
 */
static void endless_data(void **state)
{
    (void)state;
    sf_pickle p;
    json_t *v;
    static const char self[] = "]q\0h\0a.";
    tst_ok(sf_pickle_read(&p, self, sizeof self - 1, "self"));
    assert_int_equal(sf_pickle_json(&v, &p, p.root, "self"), SF_EDATA);
    sf_pickle_clear(&p);
    pk.n = 0;
    tst_put(&pk, "]q\0", 3);
    for (unsigned char i = 1; i < 60; i++) {
        const char level[] = {
            ']', 'q', (char)i, 'h', (char)(i - 1), 'a', 'h', (char)(i - 1), 'a'
        };
        tst_put(&pk, level, sizeof level);
    }
    tst_put_text(&pk, ".");
    tst_ok(sf_pickle_read(&p, pk.data, pk.n, "laughs"));
    assert_int_equal(sf_pickle_json(&v, &p, p.root, "laughs"), SF_EDATA);
    sf_pickle_clear(&p);
}

static void broken_archives(void **state)
{
    (void)state;
    tst_checkpoint_pickle(&pk);
    const tst_member m[] = { { "top/data.pkl", pk.data, pk.n } };
    tst_zip(&file, m, 1, 8, 0);
    expect(SF_EUNSUPPORTED, "compressed");
    tst_zip(&file, m, 1, 0, 1);
    expect(SF_EDATA, "checksum");
    const tst_member other[] = { { "top/readme", "hello", 5 } };
    tst_zip(&file, other, 1, 0, 0);
    expect(SF_EDATA, "data.pkl");
    const tst_member big[] = { m[0], { "top/byteorder", "big", 3 } };
    tst_zip(&file, big, 2, 0, 0);
    expect(SF_EUNSUPPORTED, "big-endian");
    file.n = 0;
    tst_put_text(&file, "not a zip");
    expect(SF_EDATA, "ZIP");
    file.n = 0;
    tst_put(&file, "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
    expect(SF_EUNSUPPORTED, "old format");
    file.n = 0;
    expect(SF_EDATA, "ZIP");
}

/** Large archives keep sizes and offsets elsewhere; the member is found and checked all the same.
 */
static void large_archives(void **state)
{
    (void)state;
    static const char empty[] = "\x80\x02}X\x0f\0\0\0network_weights}s.";
    const tst_member m = { "top/data.pkl", empty, sizeof empty - 1 };
    sf_torch_checkpoint *c;
    tst_zip64(&file, &m);
    tst_ok(load(&file, &c));
    assert_int_equal(c->count, 0);
    sf_torch_destroy(&c);
    const size_t whole = file.n;
    int refused_here = 0;
    for (size_t i = 0; i < whole; i++) {
        tst_zip64(&file, &m);
        file.data[i] ^= 0x81;
        const sf_status st = load(&file, &c);
        assert_true(st == SF_OK || st == SF_EDATA || st == SF_EUNSUPPORTED);
        refused_here += st != SF_OK;
        sf_torch_destroy(&c);
    }
    assert_true(refused_here > 60);
}

/* --- mutations ------------------------------------------------------------------------------- */

static int refused;

static void try_load(void)
{
    sf_torch_checkpoint *c;
    const int64_t before = sf_mem_live(SF_MEM_CATEGORIES);
    const sf_status st = load(&file, &c);
    if (st == SF_OK)
        sf_torch_destroy(&c);
    else
        assert_true((st == SF_EDATA || st == SF_EUNSUPPORTED) && sf_error_text()[0] != 0);
    refused += st != SF_OK;
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), before);
}

/** Cut off at every length, and every byte of archive and pickle changed in three ways. */
static void mutations(void **state)
{
    (void)state;
    static tst_bytes good_file, good_pickle;
    tst_checkpoint_pickle(&good_pickle);
    tst_checkpoint_zip(&good_file, &good_pickle);
    refused = 0;
    for (size_t n = 0; n < good_file.n; n++) {
        file = good_file;
        file.n = n;
        try_load();
    }
    assert_int_equal(refused, good_file.n);
    static const unsigned char flip[3] = { 0x01, 0x80, 0xff };
    for (size_t i = 0; i < good_file.n; i++)
        for (int k = 0; k < 3; k++) {
            file = good_file;
            file.data[i] ^= flip[k];
            try_load();
        }
    for (size_t i = 0; i < good_pickle.n; i++) /* with a checksum that is right */
        for (int k = 0; k < 3; k++) {
            pk = good_pickle;
            pk.data[i] ^= flip[k];
            tst_checkpoint_zip(&file, &pk);
            try_load();
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_checkpoint), cmocka_unit_test(broken_tensors),
        cmocka_unit_test(unsafe_pickles),   cmocka_unit_test(endless_data),
        cmocka_unit_test(broken_archives),  cmocka_unit_test(large_archives),
        cmocka_unit_test(mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
