/* MetaImage: .mha holds header and voxels, .mhd the header alone. Keys and defaults are those of
 * ITK's MetaIO; world axes are LPS. TransformMatrix lists the direction of one axis after the
 * other. */
#include "base/mem.h"
#include "image/raster.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *name;
    sf_scalar type;
} types[] = {
    { "MET_UCHAR", SF_SCALAR_U8 },       { "MET_CHAR", SF_SCALAR_I8 },
    { "MET_USHORT", SF_SCALAR_U16 },     { "MET_SHORT", SF_SCALAR_I16 },
    { "MET_UINT", SF_SCALAR_U32 },       { "MET_INT", SF_SCALAR_I32 },
    { "MET_ULONG", SF_SCALAR_U32 },      { "MET_LONG", SF_SCALAR_I32 },
    { "MET_ULONG_LONG", SF_SCALAR_U64 }, { "MET_LONG_LONG", SF_SCALAR_I64 },
    { "MET_FLOAT", SF_SCALAR_F32 },      { "MET_DOUBLE", SF_SCALAR_F64 },
};

enum { MAX_DIMS = 4 };

/* Keys that wait until NDims and all others are known. */
typedef struct {
    sf_raster raster;
    int ndims;
    bool has_type, has_size, has_spacing, big_endian, packed, text;
    double size[MAX_DIMS], spacing[MAX_DIMS], origin[MAX_DIMS], matrix[MAX_DIMS * MAX_DIMS];
    bool has_matrix;
} meta;

static sf_status read_type(meta *m, const char *value, const char *file)
{
    const size_t n = strlen(value);
    /* MET_FLOAT_ARRAY is MET_FLOAT of several channels */
    const size_t keep = n > 6 && strcmp(value + n - 6, "_ARRAY") == 0 ? n - 6 : n;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strlen(types[i].name) == keep && strncasecmp(value, types[i].name, keep) == 0) {
            m->raster.values.type = types[i].type;
            m->has_type = true;
            return SF_OK;
        }
    return SF_FAIL(SF_EUNSUPPORTED, "%s: voxels of type \"%.40s\" cannot be used", file, value);
}

static sf_status read_dims(meta *m, const char *value, const char *file)
{
    double n = 0.0;
    SF_TRY(sf_header_numbers(&n, 1, value, file, "NDims"));
    SF_CHECK(n == 2 || n == 3 || n == 4, SF_EUNSUPPORTED,
             "%s: NDims is %g; images of 2, 3 or 4 (channels) dimensions can be used", file, n);
    m->ndims = (int)n;
    return SF_OK;
}

static sf_status read_channels(meta *m, const char *value, const char *file)
{
    double n = 0.0;
    SF_TRY(sf_header_numbers(&n, 1, value, file, "ElementNumberOfChannels"));
    SF_CHECK(n >= 1 && n <= 65535 && n == (double)(int)n, SF_EDATA,
             "%s: ElementNumberOfChannels is %g", file, n);
    m->raster.values.components = (int)n;
    return SF_OK;
}

static bool is_true(const char *value)
{
    return value[0] == 'T' || value[0] == 't' || value[0] == '1';
}

static bool is_one_of(const char *key, const char *const *names)
{
    while (*names && strcasecmp(*names, key) != 0) names++;
    return *names != NULL;
}

/* Keys of numbers, as many as NDims says. */
static sf_status read_numbers(meta *m, const char *key, const char *value, const char *file)
{
    static const char *const origin[] = { "Offset", "Origin", "Position", NULL };
    static const char *const matrix[] = { "TransformMatrix", "Rotation", "Orientation", NULL };
    const bool spacing = strcasecmp(key, "ElementSpacing") == 0;
    const bool size = strcasecmp(key, "ElementSize") == 0; /* where the spacing is missing */
    if (spacing || (size && !m->has_spacing)) {
        m->has_spacing = m->has_spacing || spacing;
        return sf_header_numbers(m->spacing, m->ndims, value, file, key);
    }
    if (is_one_of(key, origin)) return sf_header_numbers(m->origin, m->ndims, value, file, key);
    if (is_one_of(key, matrix)) {
        m->has_matrix = true;
        return sf_header_numbers(m->matrix, m->ndims * m->ndims, value, file, key);
    }
    if (strcasecmp(key, "DimSize") != 0) return SF_OK;
    m->has_size = true;
    return sf_header_numbers(m->size, m->ndims, value, file, key);
}

static sf_status read_key(meta *m, const char *key, const char *value, const char *file)
{
    static const char *const msb[] = { "BinaryDataByteOrderMSB", "ElementByteOrderMSB", NULL };
    double skip = 0.0;
    if (strcasecmp(key, "ObjectType") == 0)
        SF_CHECK(strcasecmp(value, "Image") == 0, SF_EUNSUPPORTED,
                 "%s: ObjectType is \"%.40s\"; only images can be used", file, value);
    if (strcasecmp(key, "NDims") == 0) return read_dims(m, value, file);
    if (strcasecmp(key, "ElementType") == 0) return read_type(m, value, file);
    if (strcasecmp(key, "ElementNumberOfChannels") == 0) return read_channels(m, value, file);
    if (is_one_of(key, msb)) m->big_endian = is_true(value);
    if (strcasecmp(key, "CompressedData") == 0) m->packed = is_true(value);
    if (strcasecmp(key, "BinaryData") == 0) m->text = !is_true(value);
    if (strcasecmp(key, "HeaderSize") == 0) {
        SF_TRY(sf_header_numbers(&skip, 1, value, file, key));
        SF_CHECK(skip >= -1.0 && skip < 1e15, SF_EDATA, "%s: HeaderSize is %g", file, skip);
        m->raster.skip = (int64_t)skip;
    }
    if (m->ndims == 0) return SF_OK; /* NDims stands before whatever counts axes */
    return read_numbers(m, key, value, file);
}

/* Where the voxels are: the last line of the header. */
static sf_status read_place(meta *m, const char *value, const char *file)
{
    if (strcasecmp(value, "LOCAL") == 0) return SF_OK;
    SF_CHECK(strncmp(value, "LIST", 4) != 0 && !strchr(value, '%'), SF_EUNSUPPORTED,
             "%s: its slices are separate files (ElementDataFile = %.40s); write them as one .mha",
             file, value);
    SF_CHECK(value[0], SF_EDATA, "%s: ElementDataFile is empty", file);
    return sf_raster_beside(m->raster.data_file, file, value);
}

static sf_status read_lines(meta *m, sf_header *h)
{
    bool more = true;
    for (;;) {
        SF_TRY(sf_header_next(h, &more));
        SF_CHECK(more, SF_EDATA, "%s: not a MetaImage file, or cut short: no ElementDataFile",
                 h->file);
        char *equals = strchr(h->line, '=');
        if (!equals && !*sf_header_trim(h->line)) continue;
        SF_CHECK(equals, SF_EDATA, "%s: not a MetaImage file: line %d is not \"key = value\"",
                 h->file, h->lines);
        *equals = '\0';
        const char *key = sf_header_trim(h->line), *value = sf_header_trim(equals + 1);
        if (strcasecmp(key, "ElementDataFile") == 0) return read_place(m, value, h->file);
        SF_TRY(read_key(m, key, value, h->file));
    }
}

static sf_status finish(meta *m, const char *file)
{
    sf_raster *r = &m->raster;
    SF_CHECK(m->ndims && m->has_type && m->has_size, SF_EDATA, "%s: the header lacks %s", file,
             !m->ndims      ? "NDims"
             : !m->has_type ? "ElementType"
                            : "DimSize");
    r->dims = m->ndims == 2 ? 2 : 3;
    for (int a = 0; a < m->ndims; a++)
        SF_CHECK(m->size[a] >= 1 && m->size[a] < 2147483647.0 &&
                     m->size[a] == (double)(int64_t)m->size[a],
                 SF_EDATA, "%s: the header has an impossible size along axis %d: %g", file, a + 1,
                 m->size[a]);
    for (int a = 0; a < r->dims; a++) {
        r->size[a] = (int64_t)m->size[a];
        r->spacing[a] = m->spacing[a];
        r->origin[a] = a < 2 ? 0.0 - m->origin[a] : m->origin[a];
        for (int w = 0; w < r->dims; w++) {
            const double d = m->has_matrix ? m->matrix[a * m->ndims + w] : a == w;
            r->step[a][w] = (w < 2 ? 0.0 - d : d) * m->spacing[a];
        }
    }
    r->series = m->ndims == 4 ? (int64_t)m->size[3] : 1;
    r->encoding = m->text ? SF_RASTER_TEXT : m->packed ? SF_RASTER_PACKED : SF_RASTER_RAW;
    r->values.swapped = m->big_endian != (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
    return SF_OK;
}

sf_status sf_meta_read(sf_image *img, const char *file, unsigned flags)
{
    sf_header h;
    meta m;
    sf_status st = SF_OK;
    memset(&m, 0, sizeof m);
    sf_raster_default(&m.raster);
    for (int a = 0; a < MAX_DIMS; a++) m.spacing[a] = 1.0;
    SF_TRY(sf_header_open(&h, file));
    SF_GOTO(done, st, read_lines(&m, &h));
    SF_GOTO(done, st, finish(&m, file));
    SF_GOTO(done, st, sf_raster_load(img, &m.raster, SF_FORMAT_META, &h, flags));
done:
    sf_header_close(&h);
    return st;
}

/* ---- writing ---- */

static void print_header(char *out, size_t room, const sf_geometry *geo, const sf_voxels *v,
                         size_t packed, const char *data_file)
{
    sf_raster_frame f;
    double matrix[9], size[3];
    sf_raster_frame_of(&f, geo);
    for (int a = 0; a < f.dims; a++) {
        size[a] = (double)geo->shape[2 - a];
        for (int w = 0; w < f.dims; w++) matrix[a * f.dims + w] = f.direction[a][w];
    }
    snprintf(out, room,
             "ObjectType = Image\nNDims = %d\nBinaryData = True\nBinaryDataByteOrderMSB = %s\n"
             "CompressedData = True\nCompressedDataSize = %zu\nTransformMatrix = ",
             f.dims, __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? "True" : "False", packed);
    sf_raster_print(out, room, matrix, f.dims * f.dims, ' ');
    strncat(out, "\nOffset = ", room - strlen(out) - 1);
    sf_raster_print(out, room, f.origin, f.dims, ' ');
    strncat(out, "\nElementSpacing = ", room - strlen(out) - 1);
    sf_raster_print(out, room, f.spacing, f.dims, ' ');
    strncat(out, "\nDimSize = ", room - strlen(out) - 1);
    sf_raster_print(out, room, size, f.dims, ' ');
    const size_t at = strlen(out);
    snprintf(out + at, room - at, "\nElementType = %s\nElementDataFile = %s\n",
             v->values ? "MET_FLOAT"
             : v->wide ? "MET_USHORT"
                       : "MET_UCHAR",
             data_file);
}

sf_status sf_meta_write(const char *path, const sf_geometry *geo, const sf_voxels *v)
{
    char head[4096], data_file[SF_PATH_MAX];
    void *packed = NULL;
    size_t size = 0;
    sf_status st = SF_OK;
    const size_t n = strlen(path);
    const bool apart = strcasecmp(path + n - 4, ".mhd") == 0;
    SF_TRY(sf_path_format(data_file, "%.*s.zraw", (int)n - 4, path));
    SF_CHECK(strlen(sf_path_base(data_file)) < 256, SF_EINVAL, "%s: the name is too long", path);
    SF_GOTO(done, st, sf_raster_pack(&packed, &size, geo, v, false));
    print_header(head, sizeof head, geo, v, size, apart ? sf_path_base(data_file) : "LOCAL");
    const sf_piece piece[2] = { { head, strlen(head) }, { packed, size } };
    if (apart) SF_GOTO(done, st, sf_stream_save(data_file, &piece[1], 1, 0));
    SF_GOTO(done, st, sf_stream_save(path, piece, apart ? 1 : 2, 0));
done:
    sf_mem_free(packed);
    return st;
}
