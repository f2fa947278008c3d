/* MetaImage and NRRD: what is written comes back with its geometry; hand-written files of every
 * type, byte order, encoding and axis layout; headers that lie are refused with one clear text. */
#include "base/mem.h"
#include "base/path.h"
#include "image/image.h"
#include "image/io.h"
#include "image/packed.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { D = 2, H = 3, W = 4, N = D * H * W };

static const int64_t deep[3] = { D, H, W }, flat[3] = { 1, H, W };
static const double spacing[3] = { 2.5, 0.7, 1.3 };
static const char *const endings[] = { ".mha", ".mhd", ".nrrd", ".nhdr" };

static const char *at(const char *name)
{
    static char path[2][SF_PATH_MAX];
    static int turn;
    turn ^= 1;
    assert_int_equal(SF_OK, sf_path_join(path[turn], tst_tmp_dir(), name, NULL));
    return path[turn];
}

static sf_status read_image(sf_image **img, const char *name)
{
    const char *files[1] = { at(name) };
    return sf_image_read(img, files, 1);
}

static void put(const char *name, const char *head, const void *data, size_t size)
{
    FILE *f = fopen(at(name), "wb");
    assert_non_null(f);
    fputs(head, f);
    assert_int_equal(size, fwrite(data, 1, size, f));
    fclose(f);
}

/* The file is refused with this status; the text names it and holds `word`. */
static void refused(const char *name, sf_status want, const char *word)
{
    sf_image *img = NULL;
    const sf_status st = read_image(&img, name);
    if (st != want) fail_msg("status %d, not %d: %s", (int)st, (int)want, sf_error_text());
    assert_null(img);
    if (!strstr(sf_error_text(), word)) fail_msg("\"%s\" lacks \"%s\"", sf_error_text(), word);
    assert_non_null(strstr(sf_error_text(), tst_tmp_dir()));
}

/* ---- what we write ---- */

/* An oblique grid whose columns are as long as the spacing says. */
static void oblique(sf_geometry *geo, sf_image_format format)
{
    const double c = cos(0.4), s = sin(0.4);
    const double turn[3][3] = { { c, -s, 0 }, { s, c, 0 }, { 0, 0, -1 } };
    sf_geometry_make(geo, format, deep, spacing);
    for (int w = 0; w < 3; w++) {
        for (int a = 0; a < 3; a++) geo->affine[w][a] = turn[w][a] * spacing[2 - a];
        geo->affine[w][3] = 10.25 * w - 7.1;
    }
}

static void same_grid(const sf_geometry *a, const sf_geometry *b, double limit)
{
    assert_memory_equal(a->shape, b->shape, sizeof a->shape);
    for (int i = 0; i < 3; i++) assert_true(fabs(a->spacing[i] - b->spacing[i]) <= limit);
    for (int i = 0; i < 16; i++)
        assert_true(fabs(a->affine[i / 4][i % 4] - b->affine[i / 4][i % 4]) <= limit);
    assert_int_equal(a->is_2d, b->is_2d);
}

static void test_round_trip(void **state)
{
    char name[32];
    float v[N];
    sf_geometry geo;
    (void)state;
    for (int i = 0; i < N; i++) v[i] = (float)i * 1.25f - 7.0f;
    for (size_t e = 0; e < 4; e++) {
        sf_image *img = NULL, *again = NULL;
        oblique(&geo, e < 2 ? SF_FORMAT_META : SF_FORMAT_NRRD);
        snprintf(name, sizeof name, "trip%s", endings[e]);
        tst_ok(sf_image_write(at(name), &geo, v));
        tst_ok(read_image(&img, name));
        assert_memory_equal(v, img->data, sizeof v);
        same_grid(&geo, &img->geo, 1e-14);
        tst_ok(sf_image_write(at(name), &img->geo, v)); /* and from now on nothing changes */
        tst_ok(read_image(&again, name));
        assert_memory_equal(img->geo.affine, again->geo.affine, sizeof geo.affine);
        same_grid(&img->geo, &again->geo, 0.0);
        sf_image_destroy(&img);
        sf_image_destroy(&again);
    }
}

static void test_labels(void **state)
{
    static const int highest[] = { 254, 255, 60000 };
    char name[32];
    int32_t v[N];
    sf_geometry geo;
    (void)state;
    for (size_t e = 0; e < 4; e++)
        for (size_t k = 0; k < 3; k++) {
            sf_label_image *img = NULL;
            char *a = NULL, *b = NULL;
            size_t na = 0, nb = 0;
            oblique(&geo, SF_FORMAT_NIFTI); /* the geometry of another format will do */
            snprintf(name, sizeof name, "label%s", endings[e]);
            for (int i = 0; i < N; i++) v[i] = (i * 7919) % (highest[k] + 1);
            tst_ok(sf_label_write(at(name), &geo, v, highest[k]));
            tst_ok(sf_path_read(&a, &na, at(name), 0));
            tst_ok(sf_label_image_read(&img, at(name)));
            assert_memory_equal(v, img->data, sizeof v);
            same_grid(&geo, &img->geo, 1e-14);
            tst_ok(sf_label_write(at(name), &geo, v, highest[k]));
            tst_ok(sf_path_read(&b, &nb, at(name), 0));
            assert_int_equal(na, nb);
            assert_memory_equal(a, b, na);
            sf_mem_free(a);
            sf_mem_free(b);
            sf_label_image_destroy(&img);
        }
}

/* 2-D: two axes are written, and z becomes the coarse one. */
static void test_planes(void **state)
{
    const double pixel[3] = { 1, 0.5, 0.25 };
    char name[32], from[SF_PATH_MAX], to[SF_PATH_MAX];
    float v[H * W];
    sf_geometry geo;
    (void)state;
    for (int i = 0; i < H * W; i++) v[i] = (float)i;
    for (size_t e = 0; e < 4; e++) {
        sf_image *img = NULL;
        sf_geometry_make(&geo, SF_FORMAT_NIFTI, flat, pixel);
        geo.is_2d = true;
        snprintf(name, sizeof name, "flat%s", endings[e]);
        tst_ok(sf_image_write(at(name), &geo, v));
        tst_ok(sf_path_format(from, "%s", at(name)));
        tst_ok(sf_path_format(to, "%s/copy%s", tst_tmp_dir(), endings[e]));
        tst_ok(sf_image_copy(from, to));
        snprintf(name, sizeof name, "copy%s", endings[e]);
        tst_ok(read_image(&img, name));
        assert_true(img->geo.is_2d);
        assert_memory_equal(flat, img->geo.shape, sizeof flat);
        assert_true(img->geo.spacing[0] == 999.0 * 0.5 && img->geo.spacing[2] == 0.25);
        assert_memory_equal(v, img->data, sizeof v);
        sf_image_destroy(&img);
    }
}

/* ---- every type and byte order ---- */

static const struct {
    const char *meta, *nrrd;
    int bytes;
    bool real, sign;
} kinds[] = {
    { "MET_UCHAR", "unsigned char", 1, false, false },
    { "MET_CHAR", "signed char", 1, false, true },
    { "MET_USHORT", "ushort", 2, false, false },
    { "MET_SHORT", "int16_t", 2, false, true },
    { "MET_UINT", "uint32", 4, false, false },
    { "MET_INT", "int", 4, false, true },
    { "MET_ULONG_LONG", "unsigned long long int", 8, false, false },
    { "MET_LONG_LONG", "longlong", 8, false, true },
    { "MET_FLOAT", "float", 4, true, true },
    { "MET_DOUBLE", "DOUBLE", 8, true, true },
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static double wanted(size_t k, int i)
{
    const int v = kinds[k].sign ? i * 5 - 60 : i * 5;
    return kinds[k].real ? v * 0.125 : v;
}

static void encode(unsigned char *out, size_t k, bool big)
{
    for (int i = 0; i < N; i++) {
        unsigned char *p = out + i * kinds[k].bytes;
        const double x = wanted(k, i);
        const float f = (float)x;
        const int64_t whole = (int64_t)x;
        if (kinds[k].real && kinds[k].bytes == 4)
            memcpy(p, &f, 4);
        else if (kinds[k].real)
            memcpy(p, &x, 8);
        else
            memcpy(p, &whole, (size_t)kinds[k].bytes); /* this test runs on little-endian */
        for (int b = 0; big && b < kinds[k].bytes / 2; b++) {
            const unsigned char t = p[b];
            p[b] = p[kinds[k].bytes - 1 - b];
            p[kinds[k].bytes - 1 - b] = t;
        }
    }
}

static void check_values(const char *name, size_t k)
{
    sf_image *img = NULL;
    tst_ok(read_image(&img, name));
    assert_memory_equal(deep, img->geo.shape, sizeof deep);
    for (int i = 0; i < N; i++)
        if (img->data[i] != (float)wanted(k, i))
            fail_msg("%s %s: voxel %d is %g", name, kinds[k].meta, i, (double)img->data[i]);
    sf_image_destroy(&img);
}

static void test_types(void **state)
{
    unsigned char raw[N * 8];
    char head[512];
    (void)state;
    if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__) skip();
    for (size_t k = 0; k < N_KINDS; k++)
        for (int big = 0; big < 2; big++) {
            const size_t size = (size_t)(N * kinds[k].bytes);
            encode(raw, k, big);
            snprintf(
                head, sizeof head,
                "ObjectType = Image\r\nNDims = 3\r\nBinaryDataByteOrderMSB = %s\r\nDimSize = 4 3 "
                "2\nElementType = %s\nElementDataFile = LOCAL\n",
                big ? "True" : "False", kinds[k].meta);
            put("t.mha", head, raw, size);
            check_values("t.mha", k);
            snprintf(head, sizeof head,
                     "NRRD0005\n# a comment\ntype: %s\ndimension: 3\nsizes: 4 3 2\nkey:=value\n"
                     "endian: %s\nencoding: raw\n\n",
                     kinds[k].nrrd, big ? "big" : "little");
            put("t.nrrd", head, raw, size);
            check_values("t.nrrd", k);
        }
}

/* ---- encodings and places of the voxels ---- */

static void numbers_text(char *out, size_t room)
{
    out[0] = '\0';
    for (int i = 0; i < N; i++) {
        const size_t n = strlen(out);
        snprintf(out + n, room - n, "%s%d", i == 0 ? "" : i % W ? " " : "\n", i * 5 - 60);
    }
}

static const char meta_short[] = "NDims = 3\nDimSize = 4 3 2\nElementType = MET_SHORT\n";
static const char nrrd_short[] =
    "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 3 2\nendian: little\n";

static void test_encodings(void **state)
{
    enum { SHORT = 3 };
    unsigned char raw[N * 2 + 5] = "12345";
    char head[512], text[512];
    void *packed = NULL;
    size_t size = 0;
    (void)state;
    encode(raw + 5, SHORT, false);
    numbers_text(text, sizeof text);
    snprintf(head, sizeof head, "%sBinaryData = False\nElementDataFile = LOCAL\n", meta_short);
    put("e.mha", head, text, strlen(text));
    check_values("e.mha", SHORT);
    snprintf(head, sizeof head, "%sencoding: ascii\n\n", nrrd_short);
    put("e.nrrd", head, text, strlen(text));
    check_values("e.nrrd", SHORT);
    for (int gzip = 0; gzip < 2; gzip++) {
        tst_ok(sf_pack(&packed, &size, raw + 5, N * 2, 6, gzip));
        snprintf(head, sizeof head, "%sCompressedData = True\nElementDataFile = LOCAL\n",
                 meta_short);
        put("e.mha", head, packed, size);
        check_values("e.mha", SHORT);
        snprintf(head, sizeof head, "%sCompressedData = True\nElementDataFile = e.zraw\n",
                 meta_short);
        put("e.zraw", "", packed, size);
        put("e.mhd", head, "", 0);
        check_values("e.mhd", SHORT);
        snprintf(head, sizeof head, "%sencoding: gzip\n\n", nrrd_short);
        put("e.nrrd", head, packed, size);
        check_values("e.nrrd", SHORT);
        snprintf(head, sizeof head, "%sencoding: gz\ndata file: ./e.zraw\n", nrrd_short);
        put("e.nhdr", head, "", 0);
        check_values("e.nhdr", SHORT);
        sf_mem_free(packed);
    }
    put("e.raw", "", raw, sizeof raw);
    snprintf(head, sizeof head, "%sHeaderSize = 5\nElementDataFile = e.raw\n", meta_short);
    put("e.mhd", head, "", 0);
    check_values("e.mhd", SHORT);
    snprintf(head, sizeof head, "%sHeaderSize = -1\nElementDataFile = e.raw\n", meta_short);
    put("e.mhd", head, "", 0);
    check_values("e.mhd", SHORT);
    snprintf(head, sizeof head, "%sencoding: raw\nbyte skip: -1\ndatafile: e.raw\n", nrrd_short);
    put("e.nhdr", head, "", 0);
    check_values("e.nhdr", SHORT);
    put("e.raw", "a line\nanother\n", raw + 5, N * 2);
    snprintf(head, sizeof head, "%sencoding: raw\nline skip: 2\ndata file: e.raw\n", nrrd_short);
    put("e.nhdr", head, "", 0);
    check_values("e.nhdr", SHORT);
}

/* ---- geometry and channels ---- */

static void check_affine(const char *name, const double want[12])
{
    sf_image *img = NULL;
    tst_ok(read_image(&img, name));
    for (int i = 0; i < 12; i++)
        if (fabs(img->geo.affine[i / 4][i % 4] - want[i]) > 1e-12)
            fail_msg("%s: affine %d,%d is %g, not %g", name, i / 4, i % 4,
                     img->geo.affine[i / 4][i % 4], want[i]);
    assert_true(img->geo.spacing[0] == 4.0 && img->geo.spacing[1] == 3.0 &&
                img->geo.spacing[2] == 2.0);
    sf_image_destroy(&img);
}

/* Voxel axes x, y, z point along the world's y, z, x; both formats count in LPS. */
static void test_axes(void **state)
{
    static const double want[12] = { 0, 0, -4, -10, -2, 0, 0, -20, 0, 3, 0, 30 };
    static const double ras[12] = { 0, 0, 4, 10, 2, 0, 0, 20, 0, 3, 0, 30 };
    static const double las[12] = { 0, 0, -4, -10, 2, 0, 0, 20, 0, 3, 0, 30 };
    static const struct {
        const char *space;
        const double *want;
    } spaces[] = { { "left-posterior-superior", want }, { "LPS", want },
                   { "right-anterior-superior", ras },  { "RAS", ras },
                   { "left-anterior-superior", las },   { "scanner-xyz", want } };
    unsigned char raw[N] = { 0 };
    char head[512];
    (void)state;
    put("a.mha",
        "NDims = 3\nTransformMatrix = 0 1 0 0 0 1 1 0 0\nOffset = 10 20 30\nElementSpacing = 2 3 "
        "4\nDimSize = 4 3 2\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n",
        raw, N);
    check_affine("a.mha", want);
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) {
        snprintf(head, sizeof head,
                 "NRRD0004\ntype: uchar\ndimension: 3\nspace: %s\nsizes: 4 3 2\nspace directions: "
                 "(0,2,0) (0,0,3) (4,0,0)\nspace origin: (10,20,30)\nencoding: raw\n\n",
                 spaces[i].space);
        put("a.nrrd", head, raw, N);
        check_affine("a.nrrd", spaces[i].want);
    }
}

static void check_channels(const char *name, bool flat_image)
{
    sf_image *img = NULL;
    tst_ok(read_image(&img, name));
    assert_int_equal(2, img->channels);
    assert_memory_equal(flat_image ? flat : deep, img->geo.shape, sizeof deep);
    const int n = flat_image ? H * W : N;
    for (int i = 0; i < 2 * n; i++) assert_true(img->data[i] == (float)i);
    sf_image_destroy(&img);
}

static void test_channels(void **state)
{
    unsigned char series[2 * N], vector[2 * N], plane[2 * H * W];
    (void)state;
    for (int i = 0; i < 2 * N; i++) {
        series[i] = (unsigned char)i;
        vector[i] = (unsigned char)(i / 2 + i % 2 * N);
    }
    for (int i = 0; i < 2 * H * W; i++) plane[i] = (unsigned char)(i / 2 + i % 2 * H * W);
    put("c.mha", "NDims = 4\nDimSize = 4 3 2 2\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n",
        series, sizeof series);
    check_channels("c.mha", false);
    put("c.mha",
        "NDims = 3\nDimSize = 4 3 2\nElementNumberOfChannels = 2\nElementType = MET_UCHAR_ARRAY\n"
        "ElementDataFile = LOCAL\n",
        vector, sizeof vector);
    check_channels("c.mha", false);
    put("c.nrrd", "NRRD0001\ntype: uchar\ndimension: 4\nsizes: 4 3 2 2\nencoding: raw\n\n", series,
        sizeof series);
    check_channels("c.nrrd", false);
    put("c.nrrd",
        "NRRD0005\ntype: uchar\ndimension: 4\nspace: RAS\nsizes: 2 4 3 2\nspace directions: none "
        "(1,0,0) (0,1,0) (0,0,1)\nkinds: vector domain domain domain\nencoding: raw\n\n",
        vector, sizeof vector);
    check_channels("c.nrrd", false);
    put("c.nrrd",
        "NRRD0005\ntype: uchar\ndimension: 3\nsizes: 2 4 3\nkinds: 2-vector domain domain\n"
        "encoding: raw\n\n",
        plane, sizeof plane);
    check_channels("c.nrrd", true);
}

/* ---- refusals ---- */

static void meta_refused(const char *lines, sf_status want, const char *word)
{
    const unsigned char raw[N * 2] = { 0 };
    put("r.mha", lines, raw, sizeof raw);
    refused("r.mha", want, word);
}

static void test_meta_refusals(void **state)
{
#define HEAD "NDims = 3\nDimSize = 4 3 2\n"
#define TAIL "ElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    (void)state;
    meta_refused("NDims = 5\n", SF_EUNSUPPORTED, "NDims");
    meta_refused("ObjectType = Mesh\n" HEAD TAIL, SF_EUNSUPPORTED, "Mesh");
    meta_refused("DimSize = 4 3 2\n" TAIL, SF_EDATA, "NDims");
    meta_refused("NDims = 3\n" TAIL, SF_EDATA, "DimSize");
    meta_refused(HEAD "ElementDataFile = LOCAL\n", SF_EDATA, "ElementType");
    meta_refused("NDims = 3\nDimSize = 4 3\n" TAIL, SF_EDATA, "DimSize");
    meta_refused("NDims = 3\nDimSize = 4 3 2 2\n" TAIL, SF_EDATA, "DimSize");
    meta_refused("NDims = 3\nDimSize = 4 3 -2\n" TAIL, SF_EDATA, "size");
    meta_refused("NDims = 3\nDimSize = 4 3 nan\n" TAIL, SF_EDATA, "DimSize");
    meta_refused("NDims = 3\nDimSize = 40000 40000 40000\n" TAIL, SF_EDATA, "too short");
    meta_refused("NDims = 3\nDimSize = 2000000000 2000000000 2000000000\n" TAIL, SF_EDATA, "size");
    meta_refused(HEAD "ElementSpacing = 1 0 1\n" TAIL, SF_EDATA, "positive");
    meta_refused(HEAD "ElementSpacing = 1 inf 1\n" TAIL, SF_EDATA, "ElementSpacing");
    meta_refused(HEAD "ElementType = MET_STRING\nElementDataFile = LOCAL\n", SF_EUNSUPPORTED,
                 "MET_STRING");
    meta_refused(HEAD "ElementType = MET_SHORT\nElementDataFile = LIST\n", SF_EUNSUPPORTED, "LIST");
    meta_refused(HEAD "ElementType = MET_SHORT\nElementDataFile = s%03d.raw 1 2 1\n",
                 SF_EUNSUPPORTED, "slices");
    meta_refused(HEAD "ElementType = MET_SHORT\nElementDataFile = gone.raw\n", SF_EIO, "gone.raw");
    meta_refused(HEAD "CompressedData = True\n" TAIL, SF_EDATA, "damaged");
    meta_refused("this is no header\n", SF_EDATA, "line 1");
    meta_refused("a = 1\n", SF_EDATA, "no text");
    put("r.mha", HEAD TAIL, "xx", 2);
    refused("r.mha", SF_EDATA, "too short");
#undef HEAD
#undef TAIL
}

static void nrrd_refused(const char *lines, sf_status want, const char *word)
{
    const unsigned char raw[N * 2] = { 0 };
    put("r.nrrd", lines, raw, sizeof raw);
    refused("r.nrrd", want, word);
}

static void test_nrrd_refusals(void **state)
{
#define HEAD "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 3 2\n"
#define TAIL "endian: little\nencoding: raw\n\n"
    (void)state;
    nrrd_refused("NRRX\n\n", SF_EDATA, "NRRD000x");
    nrrd_refused("NRRD0004\n\n", SF_EDATA, "dimension");
    nrrd_refused(HEAD "encoding: raw\n\n", SF_EDATA, "endian");
    nrrd_refused(HEAD "endian: little\n\n", SF_EDATA, "encoding");
    nrrd_refused(HEAD "encoding: bzip2\n\n", SF_EUNSUPPORTED, "bzip2");
    nrrd_refused("NRRD0004\ntype: block\n\n", SF_EUNSUPPORTED, "block");
    nrrd_refused("NRRD0004\ntype: short\ndimension: 6\n\n", SF_EUNSUPPORTED, "dimension");
    nrrd_refused("NRRD0004\ntype: short\nsizes: 4 3 2\n\n", SF_EDATA, "sizes");
    nrrd_refused(HEAD "kinds: complex domain domain\n" TAIL, SF_EUNSUPPORTED, "complex");
    nrrd_refused(HEAD "kinds: domain vector domain\n" TAIL, SF_EUNSUPPORTED, "axis 2");
    nrrd_refused(HEAD "kinds: domain\n" TAIL, SF_EDATA, "kinds");
    nrrd_refused(HEAD "space directions: (1,0,0) (0,1,0) (0,0,1)\n" TAIL, SF_EDATA, "space");
    nrrd_refused(HEAD "space: LPS\nspace directions: (1,0,0) (0,1,0)\n" TAIL, SF_EDATA, "vector");
    nrrd_refused(HEAD "space: LPS\nspace directions: (1,0,0) (0,1) (0,0,1)\n" TAIL, SF_EDATA,
                 "needed");
    nrrd_refused(HEAD "space: LPS\nspace directions: (1,0,0) (0,0,0) (0,0,1)\n" TAIL, SF_EDATA,
                 "positive");
    nrrd_refused(HEAD "spacings: 1 0 1\n" TAIL, SF_EDATA, "positive");
    nrrd_refused(HEAD "data file: LIST\n" TAIL, SF_EUNSUPPORTED, "LIST");
    nrrd_refused(HEAD "data file: gone.raw\n" TAIL, SF_EIO, "gone.raw");
    nrrd_refused(HEAD "encoding: gzip\nendian: little\n\n", SF_EDATA, "damaged");
    nrrd_refused(HEAD "no field here\n\n", SF_EDATA, "line 5");
#undef HEAD
#undef TAIL
}

static int no_leak(void **state)
{
    (void)state;
    assert_int_equal(0, sf_mem_live(SF_MEM_CATEGORIES));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_labels),
        cmocka_unit_test(test_planes),        cmocka_unit_test(test_types),
        cmocka_unit_test(test_encodings),     cmocka_unit_test(test_axes),
        cmocka_unit_test(test_channels),      cmocka_unit_test(test_meta_refusals),
        cmocka_unit_test(test_nrrd_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, no_leak);
}
