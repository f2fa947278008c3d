#include "image/nifti_header.h"
#include "image/io.h"
#include <math.h>
#include <string.h>

/* Fields that have a byte order: offset, bytes per item, items. */
typedef struct {
    short at, size, count;
} field;

static const field fields1[] = { { 0, 4, 1 },   { 32, 4, 1 },  { 36, 2, 1 },  { 40, 2, 8 },
                                 { 56, 4, 3 },  { 68, 2, 4 },  { 76, 4, 8 },  { 108, 4, 3 },
                                 { 120, 2, 1 }, { 124, 4, 6 }, { 252, 2, 2 }, { 256, 4, 18 } };
static const field fields2[] = { { 0, 4, 1 },   { 12, 2, 2 },   { 16, 8, 8 },
                                 { 80, 8, 3 },  { 104, 8, 8 },  { 168, 8, 9 },
                                 { 344, 4, 2 }, { 352, 8, 18 }, { 496, 4, 3 } };

static void swap_item(unsigned char *p, int size)
{
    for (int i = 0; i < size / 2; i++) {
        const unsigned char t = p[i];
        p[i] = p[size - 1 - i];
        p[size - 1 - i] = t;
    }
}

static void swap_header(unsigned char *raw, int version)
{
    const field *f = version == 1 ? fields1 : fields2;
    const size_t n =
        version == 1 ? sizeof fields1 / sizeof *fields1 : sizeof fields2 / sizeof *fields2;
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < f[i].count; k++) swap_item(raw + f[i].at + k * f[i].size, f[i].size);
}

static int get_i16(const unsigned char *p)
{
    int16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static int32_t get_i32(const unsigned char *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static int64_t get_i64(const unsigned char *p)
{
    int64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static double get_f32(const unsigned char *p)
{
    float v;
    memcpy(&v, p, sizeof v);
    return (double)v;
}
static double get_f64(const unsigned char *p)
{
    double v;
    memcpy(&v, p, sizeof v);
    return v;
}

int sf_nifti_header_size(const unsigned char first[4], bool *swapped)
{
    unsigned char turned[4];
    memcpy(turned, first, 4);
    swap_item(turned, 4);
    const int32_t native = get_i32(first), other = get_i32(turned);
    *swapped = other == 348 || other == 540;
    if (native == 348 || native == 540) {
        *swapped = false;
        return native;
    }
    return *swapped ? other : 0;
}

static void decode1(sf_nifti_info *h, const unsigned char *raw, double *voxels_at)
{
    h->ndim = get_i16(raw + 40);
    for (int i = 1; i < 8; i++) h->dim[i] = get_i16(raw + 40 + 2 * i);
    for (int i = 0; i < 8; i++) h->pixdim[i] = get_f32(raw + 76 + 4 * i);
    h->datatype = get_i16(raw + 70);
    *voxels_at = get_f32(raw + 108);
    h->values.slope = get_f32(raw + 112);
    h->values.inter = get_f32(raw + 116);
    h->qform_code = get_i16(raw + 252);
    h->sform_code = get_i16(raw + 254);
    for (int i = 0; i < 3; i++) h->quaternion[i] = get_f32(raw + 256 + 4 * i);
    for (int i = 0; i < 3; i++) h->offset[i] = get_f32(raw + 268 + 4 * i);
    for (int i = 0; i < 12; i++) h->srow[i / 4][i % 4] = get_f32(raw + 280 + 4 * i);
}

static void decode2(sf_nifti_info *h, const unsigned char *raw, double *voxels_at)
{
    const int64_t ndim = get_i64(raw + 16);
    h->ndim = ndim < 0 || ndim > 7 ? -1 : (int)ndim;
    for (int i = 1; i < 8; i++) h->dim[i] = get_i64(raw + 16 + 8 * i);
    for (int i = 0; i < 8; i++) h->pixdim[i] = get_f64(raw + 104 + 8 * i);
    h->datatype = get_i16(raw + 12);
    *voxels_at = (double)get_i64(raw + 168);
    h->values.slope = get_f64(raw + 176);
    h->values.inter = get_f64(raw + 184);
    h->qform_code = get_i32(raw + 344);
    h->sform_code = get_i32(raw + 348);
    for (int i = 0; i < 3; i++) h->quaternion[i] = get_f64(raw + 352 + 8 * i);
    for (int i = 0; i < 3; i++) h->offset[i] = get_f64(raw + 376 + 8 * i);
    for (int i = 0; i < 12; i++) h->srow[i / 4][i % 4] = get_f64(raw + 400 + 8 * i);
}

static sf_status check_magic(sf_nifti_info *h, const unsigned char *raw, const char *file)
{
    if (h->version == 1) {
        const unsigned char *m = raw + 344;
        const bool single = memcmp(m, "n+1", 4) == 0;
        h->pair = memcmp(m, "ni1", 4) == 0;
        SF_CHECK(single || h->pair, SF_EDATA,
                 "%s: not a NIfTI file (no \"n+1\" at byte 344; an ANALYZE 7.5 file must be "
                 "converted first)",
                 file);
        return SF_OK;
    }
    h->pair = memcmp(raw + 4, "ni2", 4) == 0;
    SF_CHECK(h->pair || memcmp(raw + 4, "n+2", 4) == 0, SF_EDATA,
             "%s: not a NIfTI-2 file (no \"n+2\" at byte 4)", file);
    return SF_OK;
}

static sf_status check_dims(sf_nifti_info *h, const char *file)
{
    int64_t product = 1;
    SF_CHECK(h->ndim >= 1 && h->ndim <= 7, SF_EDATA,
             "%s: the header has an impossible number of dimensions (dim[0] must be 1 to 7)", file);
    SF_CHECK(h->ndim >= 2, SF_EUNSUPPORTED, "%s: a one-dimensional image cannot be used", file);
    for (int i = 1; i < 8; i++) {
        if (i > h->ndim) h->dim[i] = 1;
        SF_CHECK(h->dim[i] >= 1, SF_EDATA, "%s: the header has an impossible size: dim[%d] = %lld",
                 file, i, (long long)h->dim[i]);
        SF_CHECK(h->dim[i] < INT32_MAX && !__builtin_mul_overflow(product, h->dim[i], &product) &&
                     product < INT64_MAX / 64,
                 SF_EDATA, "%s: the header has an impossible size: dim[%d] = %lld", file, i,
                 (long long)h->dim[i]);
    }
    return SF_OK;
}

/* Every datatype of the standard; components 0 = one that we refuse, by name. */
static const struct {
    int code, components;
    sf_scalar type;
    const char *name;
} datatypes[] = {
    { 2, 1, SF_SCALAR_U8, "uint8" },
    { 256, 1, SF_SCALAR_I8, "int8" },
    { 512, 1, SF_SCALAR_U16, "uint16" },
    { 4, 1, SF_SCALAR_I16, "int16" },
    { 768, 1, SF_SCALAR_U32, "uint32" },
    { 8, 1, SF_SCALAR_I32, "int32" },
    { 1280, 1, SF_SCALAR_U64, "uint64" },
    { 1024, 1, SF_SCALAR_I64, "int64" },
    { 16, 1, SF_SCALAR_F32, "float32" },
    { 64, 1, SF_SCALAR_F64, "float64" },
    { 128, 3, SF_SCALAR_U8, "RGB24" },
    { 2304, 4, SF_SCALAR_U8, "RGBA32" },
    { 0, 0, 0, "unknown" },
    { 1, 0, 0, "one bit per voxel" },
    { 32, 0, 0, "complex64" },
    { 1536, 0, 0, "float128" },
    { 1792, 0, 0, "complex128" },
    { 2048, 0, 0, "complex256" },
};
enum { N_DATATYPES = sizeof datatypes / sizeof *datatypes };

static sf_status check_datatype(sf_nifti_info *h, const char *file)
{
    int k = 0;
    while (k < N_DATATYPES && datatypes[k].code != h->datatype) k++;
    SF_CHECK(k < N_DATATYPES, SF_EDATA,
             "%s: the header has an impossible voxel type: datatype = %d", file, h->datatype);
    SF_CHECK(datatypes[k].components > 0, SF_EUNSUPPORTED,
             "%s: voxels of type %s (datatype %d) cannot be used; convert the file to an "
             "integer or real type",
             file, datatypes[k].name, h->datatype);
    h->values.type = datatypes[k].type;
    h->values.components = datatypes[k].components;
    h->values.swapped = h->swapped;
    return SF_OK;
}

/* slope 0 or not finite means: values as stored. */
static sf_status check_scaling(sf_nifti_info *h, const char *file)
{
    sf_value_format *v = &h->values;
    if (v->slope == 0.0 || !isfinite(v->slope) || v->components > 1) {
        v->slope = 1.0;
        v->inter = 0.0;
    }
    SF_CHECK(isfinite(v->inter), SF_EDATA, "%s: scl_inter is not a finite number", file);
    return SF_OK;
}

static sf_status check_offset(sf_nifti_info *h, double at, const char *file)
{
    const int head = h->version == 1 ? 348 : 540;
    if (!h->pair && at == 0.0) at = head + 4;
    SF_CHECK(isfinite(at) && at >= 0.0 && at < 1e15 && at == floor(at) && (h->pair || at >= head),
             SF_EDATA, "%s: the header has an impossible vox_offset: %g", file, at);
    h->voxels_at = (int64_t)at;
    return SF_OK;
}

sf_status sf_nifti_parse(sf_nifti_info *info, unsigned char *raw, const char *file)
{
    double at = 0.0;
    sf_nifti_info h = { 0 };
    const int size = sf_nifti_header_size(raw, &h.swapped);
    SF_CHECK(size > 0, SF_EDATA, "%s: not a NIfTI file (its header size is not 348 or 540)", file);
    h.version = size == 348 ? 1 : 2;
    if (h.swapped) swap_header(raw, h.version);
    SF_TRY(check_magic(&h, raw, file));
    if (h.version == 1)
        decode1(&h, raw, &at);
    else
        decode2(&h, raw, &at);
    SF_TRY(check_dims(&h, file));
    SF_TRY(check_datatype(&h, file));
    SF_TRY(check_scaling(&h, file));
    SF_TRY(check_offset(&h, at, file));
    *info = h;
    return SF_OK;
}

static void affine_from_pixdim(double a[4][4], const sf_nifti_info *h)
{
    for (int i = 0; i < 3; i++) {
        const double step = i == 0 ? -fabs(h->pixdim[1]) : fabs(h->pixdim[1 + i]);
        a[i][i] = step;
        a[i][3] = -step * (double)(h->dim[1 + i] - 1) / 2.0;
    }
}

/* Quaternion to rotation, columns scaled by pixdim, third column by qfac (NIfTI standard). */
static void affine_from_quaternion(double m[4][4], const sf_nifti_info *h)
{
    double b = h->quaternion[0], c = h->quaternion[1], d = h->quaternion[2];
    const double rest = 1.0 - (b * b + c * c + d * d);
    double a = rest > 0.0 ? sqrt(rest) : 0.0;
    const double length = sqrt(a * a + b * b + c * c + d * d);
    a /= length;
    b /= length;
    c /= length;
    d /= length;
    const double rot[3][3] = {
        { a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c) },
        { 2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b) },
        { 2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c }
    };
    for (int j = 0; j < 3; j++) {
        const double step = fabs(h->pixdim[1 + j]) * (j == 2 && h->pixdim[0] < 0.0 ? -1.0 : 1.0);
        for (int i = 0; i < 3; i++) m[i][j] = rot[i][j] * step;
    }
    for (int i = 0; i < 3; i++) m[i][3] = h->offset[i];
}

static sf_status best_affine(double m[4][4], const sf_nifti_info *h, const char *file)
{
    memset(m, 0, 16 * sizeof(double));
    m[3][3] = 1.0;
    if (h->sform_code > 0)
        memcpy(m, h->srow, sizeof h->srow);
    else if (h->qform_code > 0)
        affine_from_quaternion(m, h);
    else
        affine_from_pixdim(m, h);
    for (int i = 0; i < 12; i++)
        SF_CHECK(isfinite(m[i / 4][i % 4]), SF_EDATA,
                 "%s: the header's position (%s) is not finite; repair the header", file,
                 h->sform_code > 0 ? "sform" : "qform");
    return SF_OK;
}

sf_status sf_nifti_geometry(sf_geometry *geo, const sf_nifti_info *h, const unsigned char *raw,
                            const char *file, bool warn)
{
    memset(geo, 0, sizeof *geo);
    geo->format = SF_FORMAT_NIFTI;
    geo->is_2d = h->ndim == 2;
    for (int a = 0; a < 3; a++) {
        geo->shape[a] = h->dim[3 - a];
        geo->spacing[a] = fabs(h->pixdim[3 - a]);
    }
    if (geo->is_2d) geo->spacing[0] = 999.0 * fmax(geo->spacing[1], geo->spacing[2]);
    for (int a = 0; a < 3; a++)
        SF_CHECK(isfinite(geo->spacing[a]) && geo->spacing[a] > 0.0, SF_EDATA,
                 "%s: the header's voxel size along axis %d (pixdim[%d]) is %g; it must be a "
                 "positive number: repair the header",
                 file, 3 - a, 3 - a, geo->spacing[a]);
    SF_TRY(best_affine(geo->affine, h, file));
    if (warn) sf_geometry_warn(geo, file);
    geo->nifti_header_size = h->version == 1 ? 348 : 540;
    memcpy(geo->nifti_header, raw, (size_t)geo->nifti_header_size);
    return SF_OK;
}

sf_status sf_nifti_channels(int *channels, const sf_nifti_info *h, const char *file)
{
    const int64_t rest = h->dim[4] * h->dim[5] * h->dim[6] * h->dim[7];
    const int varying = (h->dim[4] > 1) + (h->dim[5] > 1) + (h->dim[6] > 1) + (h->dim[7] > 1) +
                        (h->values.components > 1);
    SF_CHECK(varying <= 1, SF_EUNSUPPORTED,
             "%s: more than one axis beyond x, y, z (%lld x %lld x %lld x %lld%s); split the file "
             "into one per channel",
             file, (long long)h->dim[4], (long long)h->dim[5], (long long)h->dim[6],
             (long long)h->dim[7], h->values.components > 1 ? ", coloured" : "");
    SF_CHECK(rest <= 65535, SF_EUNSUPPORTED, "%s: %lld channels in one file are too many", file,
             (long long)rest);
    *channels = (int)rest * h->values.components;
    return SF_OK;
}

static void put_i16(unsigned char *p, int v)
{
    const int16_t w = (int16_t)v;
    memcpy(p, &w, sizeof w);
}
static void put_i32(unsigned char *p, int32_t v) { memcpy(p, &v, sizeof v); }
static void put_i64(unsigned char *p, int64_t v) { memcpy(p, &v, sizeof v); }
static void put_f32(unsigned char *p, double v)
{
    const float w = (float)v;
    memcpy(p, &w, sizeof w);
}
static void put_f64(unsigned char *p, double v) { memcpy(p, &v, sizeof v); }

/* Intents that say "several values per voxel" would be wrong for labels; all others are kept. */
static bool intent_of_vectors(int code)
{
    return (code >= 1004 && code <= 1010) || (code >= 2003 && code <= 2005);
}

/* A new NIfTI-1 header: position by the sform alone, millimetres. */
static void fresh_header(unsigned char raw[544], const sf_geometry *geo)
{
    put_i32(raw, 348);
    raw[38] = 'r';
    put_f32(raw + 76, 1.0);
    raw[123] = 2; /* mm */
    put_i16(raw + 254, 2);
    for (int i = 0; i < 12; i++) put_f32(raw + 280 + 4 * i, geo->affine[i / 4][i % 4]);
}

static void set_shape1(unsigned char *raw, const sf_geometry *geo, int datatype, int bits)
{
    put_i16(raw + 40, geo->is_2d ? 2 : 3);
    for (int i = 1; i < 8; i++) put_i16(raw + 40 + 2 * i, i <= 3 ? (int)geo->shape[3 - i] : 1);
    for (int i = 1; i < 8; i++) put_f32(raw + 76 + 4 * i, i <= 3 ? geo->spacing[3 - i] : 0.0);
    if (geo->is_2d) put_f32(raw + 88, 1.0);
    put_i16(raw + 70, datatype);
    put_i16(raw + 72, bits);
    put_f32(raw + 108, 352.0);
    put_f32(raw + 112, 1.0); /* scl_slope, scl_inter */
    put_f32(raw + 116, 0.0);
    if (intent_of_vectors(get_i16(raw + 68))) {
        memset(raw + 56, 0, 14);  /* intent_p1..3 and code */
        memset(raw + 328, 0, 16); /* intent_name */
    }
    memset(raw + 124, 0, 8);  /* cal_max, cal_min: display range of the source's values */
    memset(raw + 136, 0, 12); /* toffset, glmax, glmin */
    memset(raw + 228, 0, 24); /* aux_file */
    memcpy(raw + 344, "n+1", 4);
}

static void set_shape2(unsigned char *raw, const sf_geometry *geo, int datatype, int bits)
{
    put_i64(raw + 16, geo->is_2d ? 2 : 3);
    for (int i = 1; i < 8; i++) put_i64(raw + 16 + 8 * i, i <= 3 ? geo->shape[3 - i] : 1);
    for (int i = 1; i < 8; i++) put_f64(raw + 104 + 8 * i, i <= 3 ? geo->spacing[3 - i] : 0.0);
    if (geo->is_2d) put_f64(raw + 128, 1.0);
    put_i16(raw + 12, datatype);
    put_i16(raw + 14, bits);
    put_i64(raw + 168, 544);
    put_f64(raw + 176, 1.0);
    put_f64(raw + 184, 0.0);
    if (intent_of_vectors(get_i32(raw + 504))) {
        memset(raw + 80, 0, 24);  /* intent_p1..3 */
        memset(raw + 504, 0, 20); /* intent_code and name */
    }
    memset(raw + 192, 0, 16); /* cal_max, cal_min */
    memset(raw + 216, 0, 8);  /* toffset */
    memset(raw + 320, 0, 24); /* aux_file */
    memcpy(raw + 4, "n+2\0\r\n\032\n", 8);
}

int sf_nifti_make_header(unsigned char raw[544], const sf_geometry *geo, sf_scalar type)
{
    const int bits = 8 * sf_scalar_bytes(type);
    const int datatype = type == SF_SCALAR_U8 ? 2 : type == SF_SCALAR_U16 ? 512 : 16;
    const bool fits1 =
        geo->shape[0] <= INT16_MAX && geo->shape[1] <= INT16_MAX && geo->shape[2] <= INT16_MAX;
    int size = geo->nifti_header_size;
    memset(raw, 0, 544);
    if (size == 348 || size == 540)
        memcpy(raw, geo->nifti_header, (size_t)size);
    else if (fits1)
        fresh_header(raw, geo);
    if (size == 540) {
        set_shape2(raw, geo, datatype, bits);
        return 540;
    }
    size = fits1 ? 348 : 0;
    if (size) set_shape1(raw, geo, datatype, bits);
    return size;
}

int sf_nifti_make_single(unsigned char raw[544], int header_size)
{
    memset(raw + header_size, 0, 4); /* no extensions */
    if (header_size == 540) {
        put_i64(raw + 16, 3);
        for (int i = 4; i < 8; i++) put_i64(raw + 16 + 8 * i, 1);
        put_i64(raw + 168, 544);
        memcpy(raw + 4, "n+2\0\r\n\032\n", 8);
        return 544;
    }
    put_i16(raw + 40, 3);
    for (int i = 4; i < 8; i++) put_i16(raw + 40 + 2 * i, 1);
    put_f32(raw + 108, 352.0);
    memcpy(raw + 344, "n+1", 4);
    return 352;
}
