/** Checkpoints: round trip, damage, other networks, and the hash against a SHA-256 of our own. */
#include "base/mem.h"
#include "tests/support/support.h"
#include "train/checkpoint.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PARAMS = 4 };

/** A "network" of four tensors; names are not in name order. */
typedef struct {
    sf_param item[PARAMS];
    sf_params params;
    float value[PARAMS][24], velocity[PARAMS][24];
} fake;

static void make(fake *f, float start)
{
    static const char *const name[PARAMS] = { "stages.10.weight", "stages.2.weight", "bias",
                                              "Head.weight" };
    static const int64_t dim[PARAMS][2] = { { 4, 6 }, { 2, 3 }, { 5, 1 }, { 1, 7 } };
    memset(f, 0, sizeof *f);
    for (int i = 0; i < PARAMS; i++) {
        sf_param *p = &f->item[i];
        snprintf(p->name, sizeof p->name, "%s", name[i]);
        p->ndim = 2;
        memcpy(p->dim, dim[i], sizeof dim[i]);
        p->count = dim[i][0] * dim[i][1];
        p->value = f->value[i];
        p->velocity = f->velocity[i];
        p->has_velocity = i != 2;
        for (int64_t k = 0; k < p->count; k++) {
            f->value[i][k] = start + (float)(i * 100 + k) / 7.0f;
            f->velocity[i][k] = -f->value[i][k];
        }
        f->params.total += p->count;
    }
    f->params.item = f->item;
    f->params.count = PARAMS;
    f->params.dtype = SF_F32;
}

static const char *file_in_tmp(const char *name)
{
    static char path[SF_PATH_MAX];
    tst_ok(sf_path_join(path, tst_tmp_dir(), name, NULL));
    return path;
}

static void save(const char *path, const fake *f)
{
    double sums[2] = { 0.1, -3.25 };
    char extra[] = "{\"recipe\": \"paper\"}";
    const sf_train_state s = { .key = { .seed = 18446744073709551615u, .config = "2d", .fold = -1 },
                               .epoch = 3,
                               .iteration = 17,
                               .epochs = 1000,
                               .iterations = 250,
                               .batch = 12,
                               .best_ema = 1.0 / 3.0,
                               .ema = NAN,
                               .loss_sum = sums,
                               .n_running = 2,
                               .extra_json = extra };
    tst_ok(sf_checkpoint_save(path, &s, &f->params));
}

static void round_trip(void **state)
{
    const char *path = file_in_tmp("round.h5");
    fake a, b;
    sf_train_state s = { 0 };
    (void)state;
    make(&a, 1);
    make(&b, 50);
    save(path, &a);
    b.item[2].has_velocity = true; /* must be cleared: the file has none for it */
    memset(b.velocity[2], 0, sizeof b.velocity[2]);
    tst_ok(sf_checkpoint_load(path, &s, &b.params, true));
    for (int i = 0; i < PARAMS; i++) {
        const size_t bytes = (size_t)a.item[i].count * sizeof(float);
        assert_memory_equal(a.value[i], b.value[i], bytes);
        assert_int_equal(a.item[i].has_velocity, b.item[i].has_velocity);
        if (a.item[i].has_velocity) assert_memory_equal(a.velocity[i], b.velocity[i], bytes);
    }
    assert_true(s.key.seed == 18446744073709551615u);
    assert_int_equal(s.key.fold, -1);
    assert_int_equal(s.epoch, 3);
    assert_int_equal(s.iteration, 17);
    assert_int_equal(s.epochs, 1000);
    assert_int_equal(s.iterations, 250);
    assert_int_equal(s.batch, 12);
    assert_true(s.best_ema == 1.0 / 3.0 && isnan(s.ema));
    assert_int_equal(s.n_running, 2);
    assert_true(s.loss_sum[0] == 0.1 && s.loss_sum[1] == -3.25);
    assert_string_equal(s.extra_json, "{\"recipe\": \"paper\"}");
    sf_train_state_free(&s);
}

/** Equal states give equal bytes; parameters alone do not ask for momentum. */
static void same_bytes(void **state)
{
    char path[2][SF_PATH_MAX], *text[2];
    size_t size[2];
    fake a;
    (void)state;
    make(&a, 2);
    for (int i = 0; i < 2; i++) {
        tst_ok(sf_path_format(path[i], "%s/same_%d.h5", tst_tmp_dir(), i));
        save(path[i], &a);
        tst_ok(sf_path_read(&text[i], &size[i], path[i], 0));
    }
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(text[0], text[1], size[0]);
    for (int i = 0; i < 2; i++) sf_mem_free(text[i]);
    for (int i = 0; i < PARAMS; i++) a.item[i].velocity = NULL;
    tst_ok(sf_checkpoint_load(path[0], NULL, &a.params, false));
    assert_int_equal(sf_checkpoint_load(path[0], NULL, &a.params, true), SF_EINTERNAL);
}

static void refused(const char *path, fake *f)
{
    sf_train_state s = { 0 };
    char hex[65];
    assert_int_equal(sf_checkpoint_load(path, &s, &f->params, true), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), sf_path_base(path)));
    sf_train_state_free(&s);
    assert_int_equal(sf_checkpoint_hash(path, hex), SF_EDATA);
}

static void damage(void **state)
{
    const char *path = file_in_tmp("damaged.h5");
    char *text, *copy;
    size_t size;
    fake a;
    (void)state;
    make(&a, 3);
    save(path, &a);
    tst_ok(sf_path_read(&text, &size, path, 0));
    copy = test_malloc(size);
    for (size_t at = 0; at < size; at += size / 150 + 1) { /* one bit each */
        memcpy(copy, text, size);
        copy[at] = (char)(copy[at] ^ (1 << at % 8));
        tst_ok(sf_path_write(path, copy, size));
        refused(path, &a);
    }
    for (size_t cut = 0; cut < size; cut += size / 40 + 1) {
        tst_ok(sf_path_write(path, text, cut));
        refused(path, &a);
    }
    tst_ok(sf_path_write(path, text, size - 1));
    refused(path, &a);
    test_free(copy);
    sf_mem_free(text);
    assert_int_equal(sf_checkpoint_load("/nonexistent.h5", NULL, &a.params, false), SF_EIO);
}

static void other_networks(void **state)
{
    const char *path = file_in_tmp("other.h5");
    fake a, b;
    (void)state;
    make(&a, 4);
    save(path, &a);
    make(&b, 4);
    b.item[0].dim[0] = 6;
    b.item[0].dim[1] = 4;
    assert_int_equal(sf_checkpoint_load(path, NULL, &b.params, false), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "stages.10.weight"));
    make(&b, 4);
    snprintf(b.item[1].name, sizeof b.item[1].name, "stages.3.weight");
    assert_int_equal(sf_checkpoint_load(path, NULL, &b.params, false), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "stages.2.weight"));
    make(&b, 4);
    b.params.count = PARAMS - 1;
    assert_int_equal(sf_checkpoint_load(path, NULL, &b.params, false), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "4 tensors"));
}

/* ---- SHA-256 by FIPS 180-4, written for this test alone ------------------------------------- */

static uint32_t turn(uint32_t x, int n) { return x >> n | x << (32 - n); }

/** First 32 bits of the fractional part of the n-th root of the k-th prime. */
static uint32_t root_bits(int k, int cube)
{
    int prime = 1;
    for (int found = -1; found < k;) {
        bool is = true;
        prime++;
        for (int d = 2; d * d <= prime; d++) is = is && prime % d != 0;
        found += is;
    }
    const long double r = cube ? cbrtl(prime) : sqrtl(prime);
    return (uint32_t)((r - floorl(r)) * 4294967296.0L);
}

static void block(uint32_t h[8], const uint8_t *p)
{
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
               (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + w[i - 7] + (turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3) +
               (turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(v, h, sizeof v);
    for (int i = 0; i < 64; i++) {
        const uint32_t a = v[0], e = v[4];
        const uint32_t t1 = v[7] + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) +
                            ((e & v[5]) ^ (~e & v[6])) + root_bits(i, 1) + w[i];
        const uint32_t t2 =
            (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[0] = t1 + t2;
        v[4] += t1;
    }
    for (int i = 0; i < 8; i++) h[i] += v[i];
}

static void sha256_of(char hex[65], const uint8_t *data, size_t size)
{
    uint32_t h[8];
    const size_t padded = (size + 9 + 63) / 64 * 64;
    uint8_t *text = test_calloc(padded, 1);
    memcpy(text, data, size);
    text[size] = 0x80;
    for (int i = 0; i < 8; i++) text[padded - 1 - i] = (uint8_t)((uint64_t)size * 8 >> 8 * i);
    for (int i = 0; i < 8; i++) h[i] = root_bits(i, 0);
    for (size_t at = 0; at < padded; at += 64) block(h, text + at);
    for (int i = 0; i < 8; i++) snprintf(hex + 8 * i, 9, "%08x", h[i]);
    test_free(text);
}

static void hash_is_sha256(void **state)
{
    static const int order[PARAMS] = { 3, 2, 0, 1 }; /* by name, byte order */
    const char *path = file_in_tmp("hash.h5");
    uint8_t bytes[1024];
    size_t n = 0;
    char want[65], got[65];
    fake a;
    (void)state;
    sha256_of(want, (const uint8_t *)"abc", 3); /* FIPS 180-4's example: the test's own check */
    assert_string_equal(want, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    make(&a, 5);
    save(path, &a);
    for (int i = 0; i < PARAMS; i++) {
        const size_t size = (size_t)a.item[order[i]].count * sizeof(float);
        memcpy(bytes + n, a.value[order[i]], size); /* little-endian, as this machine is */
        n += size;
    }
    sha256_of(want, bytes, n);
    tst_ok(sf_checkpoint_hash(path, got));
    assert_string_equal(got, want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),     cmocka_unit_test(same_bytes),
        cmocka_unit_test(damage),         cmocka_unit_test(other_networks),
        cmocka_unit_test(hash_is_sha256),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
