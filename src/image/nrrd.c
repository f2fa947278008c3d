/* NRRD: .nrrd holds header and voxels, .nhdr the header alone. An axis is one of space when "space
 * directions" has a vector for it, else when its kind says so; one axis may be of something else:
 * the first = components of a voxel, the last = channels. World axes are LPS unless "space" names
 * RAS or LAS, as in ITK. Own code, because Debian's only C library for it (teem) keeps errors in
 * global variables and allocates what a header promises. */
#include "base/mem.h"
#include "image/raster.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MAX_AXES = 5 };

typedef struct {
    sf_raster raster;
    int axes, space_dims; /* 0 = not told yet */
    double size[MAX_AXES], spacing[MAX_AXES], vector[MAX_AXES][4], origin[4];
    bool other[MAX_AXES]; /* not an axis of space */
    bool has_type, has_size, has_encoding, has_endian, has_spacings, has_directions;
    bool big_endian, flip[2]; /* flip: x, y are turned to get RAS */
} nrrd;

/* Is `word` one of the names between bars? Letter case does not matter. */
static bool is_one_of(const char *word, const char *names)
{
    const size_t n = strlen(word);
    for (const char *at = names; at; at = strchr(at, '|')) {
        at += *at == '|';
        if (strncasecmp(at, word, n) == 0 && (at[n] == '|' || at[n] == '\0')) return n > 0;
    }
    return false;
}

static sf_status read_type(nrrd *n, const char *value, const char *file)
{
    static const char *const names[] = {
        [SF_SCALAR_U8] = "uchar|unsigned char|uint8|uint8_t",
        [SF_SCALAR_I8] = "signed char|int8|int8_t",
        [SF_SCALAR_U16] = "ushort|unsigned short|unsigned short int|uint16|uint16_t",
        [SF_SCALAR_I16] = "short|short int|signed short|signed short int|int16|int16_t",
        [SF_SCALAR_U32] = "uint|unsigned int|uint32|uint32_t",
        [SF_SCALAR_I32] = "int|signed int|int32|int32_t",
        [SF_SCALAR_U64] = "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t",
        [SF_SCALAR_I64] = "longlong|long long|long long int|signed long long|"
                          "signed long long int|int64|int64_t",
        [SF_SCALAR_F32] = "float",
        [SF_SCALAR_F64] = "double"
    };
    for (int t = SF_SCALAR_U8; t <= SF_SCALAR_F64; t++)
        if (is_one_of(value, names[t])) {
            n->raster.values.type = (sf_scalar)t;
            n->has_type = true;
        }
    SF_CHECK(n->has_type, SF_EUNSUPPORTED, "%s: voxels of type \"%.40s\" cannot be used", file,
             value);
    return SF_OK;
}

static sf_status read_encoding(nrrd *n, const char *value, const char *file)
{
    n->has_encoding = true;
    if (is_one_of(value, "raw"))
        n->raster.encoding = SF_RASTER_RAW;
    else if (is_one_of(value, "gzip|gz"))
        n->raster.encoding = SF_RASTER_PACKED;
    else if (is_one_of(value, "ascii|text|txt"))
        n->raster.encoding = SF_RASTER_TEXT;
    else
        return SF_FAIL(SF_EUNSUPPORTED,
                       "%s: encoding \"%.40s\" cannot be read; write it with raw, gzip or ascii",
                       file, value);
    return SF_OK;
}

static sf_status read_dimension(nrrd *n, const char *value, const char *file)
{
    double x = 0.0;
    SF_TRY(sf_header_numbers(&x, 1, value, file, "dimension"));
    SF_CHECK(x == 2 || x == 3 || x == 4, SF_EUNSUPPORTED,
             "%s: dimension is %g; images of 2, 3 or 4 dimensions can be used", file, x);
    n->axes = (int)x;
    return SF_OK;
}

static void read_space(nrrd *n, const char *value)
{
    n->space_dims = is_one_of(value, "RAST|LAST|LPST|right-anterior-superior-time|"
                                     "left-anterior-superior-time|left-posterior-superior-time")
                        ? 4
                        : 3;
    const bool ras = is_one_of(value, "RAS|RAST|right-anterior-superior|"
                                      "right-anterior-superior-time");
    const bool las = is_one_of(value, "LAS|LAST|left-anterior-superior|"
                                      "left-anterior-superior-time");
    n->flip[0] = !ras;
    n->flip[1] = !ras && !las;
}

static sf_status read_space_dims(nrrd *n, const char *value, const char *file)
{
    double x = 0.0;
    SF_TRY(sf_header_numbers(&x, 1, value, file, "space dimension"));
    SF_CHECK(x >= 2 && x <= 4, SF_EUNSUPPORTED, "%s: space dimension is %g", file, x);
    n->space_dims = (int)x;
    return SF_OK;
}

/* "(1,0,0) none (0,1,0)": a vector or "none" per axis. */
static sf_status read_directions(nrrd *n, char *value, const char *file)
{
    char *at = value;
    SF_CHECK(n->axes > 0 && n->space_dims > 0, SF_EDATA,
             "%s: \"space directions\" without \"dimension\" and \"space\" before it", file);
    n->has_directions = true;
    for (int a = 0; a < n->axes; a++) {
        at += strspn(at, " \t");
        n->other[a] = strncmp(at, "none", 4) == 0;
        char *end = n->other[a] ? at + 3 : at[0] == '(' ? strchr(at, ')') : NULL;
        SF_CHECK(end, SF_EDATA, "%s: \"space directions\" needs a vector or none for each axis",
                 file);
        *end = '\0';
        if (!n->other[a])
            SF_TRY(sf_header_numbers(n->vector[a], n->space_dims, at, file, "space directions"));
        at = end + 1;
    }
    return SF_OK;
}

static sf_status read_kinds(nrrd *n, char *value, const char *file)
{
    char *rest = NULL, *word = strtok_r(value, " \t", &rest);
    for (int a = 0; a < n->axes; a++, word = strtok_r(NULL, " \t", &rest)) {
        SF_CHECK(word, SF_EDATA, "%s: \"kinds\" needs one word per axis", file);
        SF_CHECK(strcasecmp(word, "complex") != 0, SF_EUNSUPPORTED,
                 "%s: complex voxels cannot be used; convert the file to a real type", file);
        /* where directions are given, they alone say what is an axis of space */
        if (!n->has_directions) n->other[a] = !is_one_of(word, "domain|space|???|none");
    }
    return SF_OK;
}

/* "1 1 NaN": NaN for an axis that has no spacing. */
static sf_status read_spacings(nrrd *n, char *value, const char *file)
{
    char *rest = NULL, *word = strtok_r(value, " \t", &rest);
    for (int a = 0; a < n->axes; a++, word = strtok_r(NULL, " \t", &rest)) {
        SF_CHECK(word, SF_EDATA, "%s: \"spacings\" needs one number per axis", file);
        if (strcasecmp(word, "nan") != 0)
            SF_TRY(sf_header_numbers(&n->spacing[a], 1, word, file, "spacings"));
    }
    n->has_spacings = true;
    return SF_OK;
}

static sf_status read_skip(int64_t *out, const char *value, const char *file, const char *key)
{
    double x = 0.0;
    SF_TRY(sf_header_numbers(&x, 1, value, file, key));
    SF_CHECK(x >= -1.0 && x < 1e15, SF_EDATA, "%s: %s is %g", file, key, x);
    *out = (int64_t)x;
    return SF_OK;
}

static sf_status read_data_file(nrrd *n, const char *value, const char *file)
{
    SF_CHECK(strncmp(value, "LIST", 4) != 0 && !strchr(value, '%'), SF_EUNSUPPORTED,
             "%s: its slices are separate files (data file: %.40s); write them as one .nrrd", file,
             value);
    SF_CHECK(value[0], SF_EDATA, "%s: \"data file\" is empty", file);
    return sf_raster_beside(n->raster.data_file, file, value);
}

static sf_status read_field(nrrd *n, const char *key, char *value, const char *file)
{
    if (is_one_of(key, "type")) return read_type(n, value, file);
    if (is_one_of(key, "dimension")) return read_dimension(n, value, file);
    if (is_one_of(key, "encoding")) return read_encoding(n, value, file);
    if (is_one_of(key, "space dimension")) return read_space_dims(n, value, file);
    if (is_one_of(key, "data file|datafile")) return read_data_file(n, value, file);
    if (is_one_of(key, "space directions")) return read_directions(n, value, file);
    if (is_one_of(key, "line skip|lineskip"))
        return read_skip(&n->raster.skip_lines, value, file, key);
    if (is_one_of(key, "byte skip|byteskip")) return read_skip(&n->raster.skip, value, file, key);
    if (is_one_of(key, "space")) read_space(n, value);
    if (is_one_of(key, "endian")) {
        n->has_endian = true;
        n->big_endian = is_one_of(value, "big");
    }
    if (is_one_of(key, "space origin"))
        return sf_header_numbers(n->origin, n->space_dims, value, file, key);
    if (is_one_of(key, "sizes")) {
        n->has_size = true;
        return sf_header_numbers(n->size, n->axes, value, file, key);
    }
    if (is_one_of(key, "kinds")) return read_kinds(n, value, file);
    if (is_one_of(key, "spacings")) return read_spacings(n, value, file);
    return SF_OK; /* everything else does not change voxels or their place */
}

static sf_status read_lines(nrrd *n, sf_header *h)
{
    bool more = true;
    SF_TRY(sf_header_next(h, &more));
    SF_CHECK(strncmp(h->line, "NRRD000", 7) == 0 && isdigit((unsigned char)h->line[7]), SF_EDATA,
             "%s: not an NRRD file (its first line is not NRRD000x)", h->file);
    for (;;) {
        SF_TRY(sf_header_next(h, &more));
        if (h->line[0] == '\0') break; /* the header's end, or the file's */
        char *colon = strchr(h->line, ':');
        if (h->line[0] == '#' || (colon && colon[1] == '=')) continue; /* comments, key:=value */
        SF_CHECK(colon, SF_EDATA, "%s: not an NRRD file: line %d is not \"field: value\"", h->file,
                 h->lines);
        *colon = '\0';
        SF_TRY(read_field(n, sf_header_trim(h->line), sf_header_trim(colon + 1), h->file));
    }
    return SF_OK;
}

static sf_status check_fields(const nrrd *n, const char *file)
{
    SF_CHECK(n->axes && n->has_type && n->has_size && n->has_encoding, SF_EDATA,
             "%s: the header lacks \"%s\"", file,
             !n->axes       ? "dimension"
             : !n->has_type ? "type"
             : !n->has_size ? "sizes"
                            : "encoding");
    SF_CHECK(n->has_endian || n->raster.encoding == SF_RASTER_TEXT ||
                 sf_scalar_bytes(n->raster.values.type) == 1,
             SF_EDATA, "%s: the header lacks \"endian\"", file);
    for (int a = 0; a < n->axes; a++)
        SF_CHECK(n->size[a] >= 1 && n->size[a] < 2147483647.0 &&
                     n->size[a] == (double)(int64_t)n->size[a],
                 SF_EDATA, "%s: the header has an impossible size along axis %d: %g", file, a + 1,
                 n->size[a]);
    return SF_OK;
}

/* One axis of space: its step and spacing. */
static void take_axis(sf_raster *r, int to, const nrrd *n, int from)
{
    double length = 0.0;
    r->size[to] = (int64_t)n->size[from];
    for (int w = 0; w < 3; w++) {
        const double unit = to == w ? n->has_spacings ? n->spacing[from] : 1.0 : 0.0;
        const double x = !n->has_directions ? unit : w < n->space_dims ? n->vector[from][w] : 0.0;
        r->step[to][w] = w < 2 && n->flip[w] ? 0.0 - x : x;
        length += x * x;
    }
    r->spacing[to] = sqrt(length);
}

static sf_status finish(nrrd *n, const char *file)
{
    sf_raster *r = &n->raster;
    int first = 0, last = n->axes - 1;
    SF_TRY(check_fields(n, file));
    if (n->other[0]) r->values.components = (int)n->size[first++];
    if (last > first && (n->other[last] || last - first == 3)) r->series = (int64_t)n->size[last--];
    for (int a = first; a <= last; a++)
        SF_CHECK(!n->other[a], SF_EUNSUPPORTED,
                 "%s: axis %d of %d is not one of space; only the first and the last may hold "
                 "channels",
                 file, a + 1, n->axes);
    SF_CHECK(last - first == 1 || last - first == 2, SF_EUNSUPPORTED,
             "%s: %d axes of space; 2 or 3 can be used", file, last - first + 1);
    r->dims = last - first + 1;
    for (int a = 0; a < r->dims; a++) take_axis(r, a, n, first + a);
    for (int w = 0; w < 3 && w < n->space_dims; w++)
        r->origin[w] = w < 2 && n->flip[w] ? 0.0 - n->origin[w] : n->origin[w];
    r->values.swapped = n->has_endian && n->big_endian != (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
    return SF_OK;
}

sf_status sf_nrrd_read(sf_image *img, const char *file, unsigned flags)
{
    sf_header h;
    nrrd n;
    sf_status st = SF_OK;
    memset(&n, 0, sizeof n);
    sf_raster_default(&n.raster);
    n.flip[0] = n.flip[1] = true;
    SF_TRY(sf_header_open(&h, file));
    SF_GOTO(done, st, read_lines(&n, &h));
    SF_GOTO(done, st, finish(&n, file));
    SF_GOTO(done, st, sf_raster_load(img, &n.raster, SF_FORMAT_NRRD, &h, flags));
done:
    sf_header_close(&h);
    return st;
}

/* ---- writing ---- */

static void add(char *out, size_t room, const char *text)
{
    strncat(out, text, room - strlen(out) - 1);
}

static void add_vector(char *out, size_t room, const double *v, int n)
{
    add(out, room, "(");
    sf_raster_print(out, room, v, n, ',');
    add(out, room, ")");
}

static void print_header(char *out, size_t room, const sf_geometry *geo, const sf_voxels *v)
{
    sf_raster_frame f;
    double size[3];
    sf_raster_frame_of(&f, geo);
    for (int a = 0; a < f.dims; a++) size[a] = (double)geo->shape[2 - a];
    snprintf(out, room, "NRRD0004\ntype: %s\ndimension: %d\n%ssizes: ",
             v->values ? "float"
             : v->wide ? "unsigned short"
                       : "unsigned char",
             f.dims, f.dims == 3 ? "space: left-posterior-superior\n" : "space dimension: 2\n");
    sf_raster_print(out, room, size, f.dims, ' ');
    add(out, room, "\nspace directions:");
    for (int a = 0; a < f.dims; a++) {
        double step[3];
        for (int w = 0; w < 3; w++) step[w] = w < 2 ? 0.0 - geo->affine[w][a] : geo->affine[w][a];
        add(out, room, " ");
        add_vector(out, room, step, f.dims);
    }
    add(out, room, f.dims == 3 ? "\nkinds: domain domain domain" : "\nkinds: domain domain");
    add(out, room, __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? "\nendian: big" : "\nendian: little");
    add(out, room, "\nencoding: gzip\nspace origin: ");
    add_vector(out, room, f.origin, f.dims);
    add(out, room, "\n");
}

sf_status sf_nrrd_write(const char *path, const sf_geometry *geo, const sf_voxels *v)
{
    char head[4096 + SF_PATH_MAX], data_file[SF_PATH_MAX];
    void *packed = NULL;
    size_t size = 0;
    sf_status st = SF_OK;
    const size_t n = strlen(path);
    const bool apart = strcasecmp(path + n - 5, ".nhdr") == 0;
    SF_TRY(sf_path_format(data_file, "%.*s.raw.gz", (int)n - 5, path));
    SF_GOTO(done, st, sf_raster_pack(&packed, &size, geo, v, true));
    print_header(head, 4096, geo, v);
    if (apart) add(head, sizeof head, "data file: ");
    if (apart) add(head, sizeof head, sf_path_base(data_file));
    add(head, sizeof head, "\n");
    const sf_piece piece[2] = { { head, strlen(head) }, { packed, size } };
    if (apart) SF_GOTO(done, st, sf_stream_save(data_file, &piece[1], 1, 0));
    SF_GOTO(done, st, sf_stream_save(path, piece, apart ? 1 : 2, 0));
done:
    sf_mem_free(packed);
    return st;
}
