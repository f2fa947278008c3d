#include "image/raster.h"
#include "base/mem.h"
#include "image/packed.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- text ---- */

sf_status sf_header_open(sf_header *h, const char *file)
{
    h->file = file;
    h->stream = NULL;
    h->at = 0;
    h->lines = 0;
    SF_TRY(sf_stream_open(&h->stream, file));
    if (!sf_stream_is_gzip(h->stream)) return SF_OK;
    sf_header_close(h);
    return SF_FAIL(SF_EDATA, "%s: the file is packed as a whole; unpack it (gunzip) first", file);
}

void sf_header_close(sf_header *h) { sf_stream_close(&h->stream); }

sf_status sf_header_next(sf_header *h, bool *more)
{
    int n = 0;
    char c = 0;
    *more = h->at < sf_stream_file_bytes(h->stream);
    SF_CHECK(h->lines++ < SF_HEADER_LINES, SF_EDATA, "%s: the header does not end", h->file);
    while (h->at < sf_stream_file_bytes(h->stream)) {
        SF_TRY(sf_stream_read(h->stream, &c, 1));
        h->at++;
        if (c == '\n') break;
        SF_CHECK(n < SF_HEADER_LINE - 1, SF_EDATA, "%s: line %d of the header is too long", h->file,
                 h->lines);
        SF_CHECK((unsigned char)c >= ' ' || c == '\t' || c == '\r', SF_EDATA,
                 "%s: line %d of the header is no text; is this the kind of file its name says?",
                 h->file, h->lines);
        h->line[n++] = c;
    }
    if (n > 0 && h->line[n - 1] == '\r') n--;
    h->line[n] = '\0';
    return SF_OK;
}

char *sf_header_trim(char *text)
{
    while (isspace((unsigned char)*text)) text++;
    size_t n = strlen(text);
    while (n > 0 && isspace((unsigned char)text[n - 1])) n--;
    text[n] = '\0';
    return text;
}

sf_status sf_header_numbers(double *out, int n, const char *text, const char *file, const char *key)
{
    static const char between[] = " \t,()";
    int got = 0;
    for (text += strspn(text, between); *text; text += strspn(text, between)) {
        char *end = NULL;
        const double x = strtod(text, &end);
        SF_CHECK(end > text && isfinite(x) && got < n, SF_EDATA,
                 "%s: \"%s\" in the header needs %d finite number%s (\"%.40s\")", file, key, n,
                 n == 1 ? "" : "s", text);
        out[got++] = x;
        text = end;
    }
    SF_CHECK(got == n, SF_EDATA, "%s: \"%s\" in the header has %d number%s; %d are needed", file,
             key, got, got == 1 ? "" : "s", n);
    return SF_OK;
}

/* ---- geometry ---- */

void sf_raster_default(sf_raster *r)
{
    memset(r, 0, sizeof *r);
    for (int a = 0; a < 3; a++) {
        r->size[a] = 1;
        r->spacing[a] = 1.0;
        r->step[a][a] = 1.0;
    }
    r->series = 1;
    r->values.components = 1;
    r->values.slope = 1.0;
}

sf_status sf_raster_beside(char out[SF_PATH_MAX], const char *file, const char *name)
{
    const int folder = (int)(sf_path_base(file) - file);
    SF_TRY(sf_path_format(out, "%.*s%s", name[0] == '/' ? 0 : folder, file, name));
    return SF_OK;
}

static sf_status check_sizes(const sf_raster *r, const char *file)
{
    int64_t product = 8;
    for (int a = 0; a < 4; a++) {
        const int64_t n = a < 3 ? r->size[a] : r->series * r->values.components;
        SF_CHECK(n >= 1 && n < INT32_MAX && !__builtin_mul_overflow(product, n, &product), SF_EDATA,
                 "%s: the header has an impossible size along axis %d: %lld", file, a + 1,
                 (long long)n);
    }
    SF_CHECK(r->series == 1 || r->values.components == 1, SF_EUNSUPPORTED,
             "%s: a series of coloured or vector volumes; split the file into one per channel",
             file);
    SF_CHECK(r->series * r->values.components <= 65535, SF_EUNSUPPORTED,
             "%s: %lld channels in one file are too many", file,
             (long long)(r->series * r->values.components));
    return SF_OK;
}

static sf_status make_geometry(sf_geometry *geo, const sf_raster *r, sf_image_format format,
                               const char *file)
{
    memset(geo, 0, sizeof *geo);
    geo->format = format;
    geo->is_2d = r->dims == 2;
    for (int a = 0; a < 3; a++) {
        geo->shape[a] = r->size[2 - a];
        geo->spacing[a] = fabs(r->spacing[2 - a]);
        SF_CHECK(geo->spacing[a] > 0.0, SF_EDATA,
                 "%s: the voxel size along axis %d is %g; it must be a positive number: repair the "
                 "header",
                 file, 3 - a, geo->spacing[a]);
        for (int w = 0; w < 3; w++) geo->affine[w][a] = r->step[a][w];
        geo->affine[a][3] = r->origin[a];
    }
    geo->affine[3][3] = 1.0;
    if (geo->is_2d) geo->spacing[0] = 999.0 * fmax(geo->spacing[1], geo->spacing[2]);
    return SF_OK;
}

/* ---- voxels ---- */

/* Numbers of an ASCII file. */
typedef struct {
    sf_packed *source;
    int64_t rest;
    const char *file;
} text_voxels;

static sf_status next_number(text_voxels *t, double *out)
{
    char word[64];
    size_t n = 0;
    while (t->rest > 0) {
        char c = 0;
        SF_TRY(sf_packed_read(t->source, &c, 1));
        t->rest--;
        const bool blank = isspace((unsigned char)c) || c == ',';
        if (blank && n > 0) break;
        if (blank) continue;
        SF_CHECK(n < sizeof word - 1, SF_EDATA, "%s: a voxel is no number", t->file);
        word[n++] = c;
    }
    word[n] = '\0';
    char *end = word;
    *out = strtod(word, &end);
    SF_CHECK(n > 0 && *end == '\0', SF_EDATA, "%s: %s", t->file,
             n ? "a voxel is no number" : "the file is cut short: voxels are missing");
    return SF_OK;
}

/* As sf_bytes_fn for doubles: text voxels are delivered as SF_SCALAR_F64. */
static sf_status next_numbers(void *source, void *dst, size_t size)
{
    double *v = dst;
    for (size_t i = 0; i < size / sizeof *v; i++) SF_TRY(next_number(source, &v[i]));
    return SF_OK;
}

static sf_status read_text(sf_image *img, sf_packed *source, int64_t rest, const sf_raster *r,
                           const char *file)
{
    sf_value_format f = r->values;
    text_voxels t = { .source = source, .rest = rest, .file = file };
    f.type = SF_SCALAR_F64;
    f.swapped = false;
    SF_TRY(sf_values_load(img, &f, next_numbers, &t));
    return SF_OK;
}

static sf_status skip_bytes(sf_packed *source, int64_t n)
{
    char drop[4096];
    while (n > 0) {
        const size_t piece = n < (int64_t)sizeof drop ? (size_t)n : sizeof drop;
        SF_TRY(sf_packed_read(source, drop, piece));
        n -= (int64_t)piece;
    }
    return SF_OK;
}

/* `h` is the file of the voxels, `at` its place; what remains of it must hold them. */
static sf_status load_voxels(sf_image *img, const sf_raster *r, sf_header *h)
{
    const bool gzip = sf_stream_is_gzip(h->stream); /* the stream unpacks it by itself */
    const bool packed = r->encoding == SF_RASTER_PACKED && !gzip;
    const bool text = r->encoding == SF_RASTER_TEXT;
    const int64_t ratio = packed || gzip ? SF_DEFLATE_RATIO : 1;
    const int bytes = text ? 2 : sf_scalar_bytes(r->values.type);
    sf_packed *source = NULL;
    bool more = true;
    sf_status st = SF_OK;
    for (int64_t i = 0; i < r->skip_lines && more && !gzip; i++) SF_TRY(sf_header_next(h, &more));
    const int64_t rest = sf_stream_file_bytes(h->stream) - h->at;
    /* the last number of a text needs no blank behind it */
    SF_TRY(sf_image_reserve(img, h->file, bytes, rest + (text ? 1 : 0), ratio));
    const int64_t all = sf_geometry_voxels(&img->geo) * img->channels * bytes;
    const int64_t skip = r->skip >= 0 ? r->skip : rest - all;
    SF_CHECK(r->skip >= 0 || ratio == 1, SF_EUNSUPPORTED,
             "%s: packed voxels cannot be counted from the end of the file", h->file);
    SF_TRY(sf_packed_open(&source, h->stream, h->file, packed, rest));
    SF_GOTO(done, st, skip_bytes(source, skip));
    if (text)
        SF_GOTO(done, st, read_text(img, source, rest - skip, r, h->file));
    else
        SF_GOTO(done, st, sf_values_load(img, &r->values, sf_packed_read, source));
    SF_GOTO(done, st, sf_packed_finish(source));
    if (gzip) SF_GOTO(done, st, sf_stream_finish(h->stream));
done:
    sf_packed_close(&source);
    return st;
}

static sf_status load_detached(sf_image *img, const sf_raster *r, const char *file)
{
    sf_header data = { .file = r->data_file };
    SF_CHECK(sf_path_is_file(r->data_file), SF_EIO,
             "%s: missing; %s says that its voxels are there. Copy both files", r->data_file, file);
    SF_TRY(sf_stream_open(&data.stream, r->data_file));
    const sf_status st = load_voxels(img, r, &data);
    sf_header_close(&data);
    return st;
}

sf_status sf_raster_load(sf_image *img, const sf_raster *r, sf_image_format format, sf_header *h,
                         unsigned flags)
{
    SF_TRY(check_sizes(r, h->file));
    SF_TRY(make_geometry(&img->geo, r, format, h->file));
    img->channels = (int)r->series * r->values.components;
    if (flags & SF_READ_HEADER) return SF_OK;
    if (!(flags & SF_READ_LABEL)) sf_geometry_warn(&img->geo, h->file);
    if (r->data_file[0])
        SF_TRY(load_detached(img, r, h->file));
    else
        SF_TRY(load_voxels(img, r, h));
    return SF_OK;
}

/* ---- writing ---- */

/* Fewest digits, at least 15, that satisfy the test: number * scale == want. */
static double round_to_scale(double x, double scale, double want)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        const double y = strtod(text, NULL);
        if (y * scale == want) return y;
    }
    return x;
}

void sf_raster_frame_of(sf_raster_frame *f, const sf_geometry *geo)
{
    memset(f, 0, sizeof *f);
    f->dims = geo->is_2d ? 2 : 3;
    for (int a = 0; a < 3; a++) {
        f->spacing[a] = geo->spacing[2 - a];
        f->origin[a] = a < 2 ? 0.0 - geo->affine[a][3] : geo->affine[a][3];
        for (int w = 0; w < 3; w++) {
            const double step = w < 2 ? 0.0 - geo->affine[w][a] : geo->affine[w][a];
            f->direction[a][w] = round_to_scale(step / f->spacing[a], f->spacing[a], step);
        }
    }
}

void sf_raster_print(char *out, size_t room, const double *v, int n, char between)
{
    size_t at = strlen(out);
    for (int i = 0; i < n; i++) {
        char text[40];
        for (int digits = 15; digits <= 17; digits++) {
            snprintf(text, sizeof text, "%.*g", digits, v[i]);
            if (strtod(text, NULL) == v[i]) break;
        }
        if (i > 0 && at + 1 < room) out[at++] = between;
        snprintf(out + at, room - at, "%s", text);
        at += strlen(out + at);
    }
}

sf_status sf_raster_pack(void **out, size_t *size, const sf_geometry *geo, const sf_voxels *v,
                         bool gzip)
{
    const int64_t n = sf_geometry_voxels(geo);
    void *bytes = NULL;
    sf_status st = SF_OK;
    if (v->values) return sf_pack(out, size, v->values, (size_t)n * sizeof(float), 1, gzip);
    SF_TRY(sf_mem_alloc(&bytes, (size_t)n, (size_t)1 << v->wide, SF_MEM_IMAGE));
    sf_voxels_store(bytes, v, v->wide, 0, n);
    SF_GOTO(done, st, sf_pack(out, size, bytes, (size_t)n << v->wide, 6, gzip));
done:
    sf_mem_free(bytes);
    return st;
}
