/* Published answers (FIPS 180-2, CRC catalogue). */
#include "base/hash.h"
#include "tests/support/support.h"
#include <string.h>

static void sha_of(const char *text, size_t step, const char *want)
{
    sf_sha256 h;
    char hex[65];
    const size_t n = strlen(text);
    sf_sha256_begin(&h);
    for (size_t i = 0; i < n; i += step) sf_sha256_add(&h, text + i, n - i < step ? n - i : step);
    sf_sha256_add(&h, NULL, 0);
    sf_sha256_end(&h, hex);
    assert_string_equal(hex, want);
}

static void sha256(void **state)
{
    (void)state;
    const char *two = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    const char *of_two = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1";
    sha_of("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha_of("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    for (size_t step = 1; step < 60; step += 7) sha_of(two, step, of_two);
}

static void million(void **state)
{
    (void)state;
    static char a[1000];
    sf_sha256 h;
    char hex[65];
    memset(a, 'a', sizeof a);
    sf_sha256_begin(&h);
    for (int i = 0; i < 1000; i++) sf_sha256_add(&h, a, sizeof a);
    sf_sha256_end(&h, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void crc(void **state)
{
    (void)state;
    assert_int_equal(sf_crc32("123456789", 9), 0xCBF43926u);
    assert_int_equal(sf_crc32("", 0), 0);
    assert_int_equal(sf_crc32(NULL, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(sha256), cmocka_unit_test(million),
                                        cmocka_unit_test(crc) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
