#include "base/mem.h"
#include "base/path.h"
#include "image/gz.h"
#include "image/io.h"
#include "image/nifti_header.h"
#include <float.h>
#include <math.h>
#include <string.h>
#include <strings.h>

enum { CHUNK = 1 << 16 }; /* values converted at a time */

/* ---- names: the header's file and the voxels' file ---- */

static bool ends_with(const char *name, const char *ending)
{
    const size_t n = strlen(name), m = strlen(ending);
    return n >= m && strcasecmp(name + n - m, ending) == 0;
}

/* Partner of a .hdr or .img file, gzipped or not; SF_EIO names what is missing. */
static sf_status partner(char out[SF_PATH_MAX], const char *file, const char *extension)
{
    const size_t cut = strlen(file) - (ends_with(file, ".gz") ? 7 : 4);
    SF_TRY(sf_path_format(out, "%.*s%s", (int)cut, file, extension));
    if (sf_path_is_file(out)) return SF_OK;
    SF_TRY(sf_path_format(out, "%.*s%s.gz", (int)cut, file, extension));
    SF_CHECK(sf_path_is_file(out), SF_EIO,
             "%s: the other half of this pair, %.*s%s[.gz], is missing", file, (int)cut, file,
             extension);
    return SF_OK;
}

static bool is_half(const char *file, const char *extension)
{
    char gz[16];
    strcpy(gz, extension);
    strcat(gz, ".gz");
    return ends_with(file, extension) || ends_with(file, gz);
}

/* ---- voxels ---- */

static void swap_values(unsigned char *raw, int64_t n, int bytes)
{
    if (bytes == 2) {
        uint16_t *v = (uint16_t *)(void *)raw;
        for (int64_t i = 0; i < n; i++) v[i] = __builtin_bswap16(v[i]);
    } else if (bytes == 4) {
        uint32_t *v = (uint32_t *)(void *)raw;
        for (int64_t i = 0; i < n; i++) v[i] = __builtin_bswap32(v[i]);
    } else if (bytes == 8) {
        uint64_t *v = (uint64_t *)(void *)raw;
        for (int64_t i = 0; i < n; i++) v[i] = __builtin_bswap64(v[i]);
    }
}

/* As nibabel: scaling in double, then float32. */
#define CONVERT(type)                                                                              \
    do {                                                                                           \
        const type *v = (const type *)(const void *)raw;                                           \
        if (scaled)                                                                                \
            for (int64_t i = 0; i < n; i++) dst[i] = (float)((double)v[i] * h->slope + h->inter);  \
        else                                                                                       \
            for (int64_t i = 0; i < n; i++) dst[i] = (float)(double)v[i];                          \
    } while (0)

static void convert_values(float *dst, const unsigned char *raw, int64_t n, const sf_nifti_info *h)
{
    const bool scaled = h->slope != 1.0 || h->inter != 0.0;
    switch (h->datatype) {
    case SF_NIFTI_INT8:
        CONVERT(int8_t);
        break;
    case SF_NIFTI_INT16:
        CONVERT(int16_t);
        break;
    case SF_NIFTI_UINT16:
        CONVERT(uint16_t);
        break;
    case SF_NIFTI_INT32:
        CONVERT(int32_t);
        break;
    case SF_NIFTI_UINT32:
        CONVERT(uint32_t);
        break;
    case SF_NIFTI_INT64:
        CONVERT(int64_t);
        break;
    case SF_NIFTI_UINT64:
        CONVERT(uint64_t);
        break;
    case SF_NIFTI_FLOAT32:
        CONVERT(float);
        break;
    case SF_NIFTI_FLOAT64:
        CONVERT(double);
        break;
    default:
        CONVERT(uint8_t);
        break; /* uint8 and colours */
    }
}

/* Chunk `at` of interleaved colours into planes. */
static void split_colours(float *data, const float *mixed, int64_t at, int64_t n, int components,
                          int64_t voxels)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t k = at + i;
        data[k % components * voxels + k / components] = mixed[i];
    }
}

static sf_status read_values(sf_image *img, sf_stream *s, const sf_nifti_info *h)
{
    const int64_t voxels = sf_geometry_voxels(&img->geo), total = voxels * img->channels;
    unsigned char *raw = NULL;
    float *mixed = NULL;
    sf_status st = SF_OK;
    SF_TRY(sf_mem_alloc(&raw, CHUNK, (size_t)h->value_bytes, SF_MEM_SCRATCH));
    if (h->components > 1)
        SF_GOTO(done, st, sf_mem_alloc(&mixed, CHUNK, sizeof *mixed, SF_MEM_SCRATCH));
    for (int64_t at = 0; at < total; at += CHUNK) {
        const int64_t n = total - at < CHUNK ? total - at : CHUNK;
        SF_GOTO(done, st, sf_stream_read(s, raw, (size_t)(n * h->value_bytes)));
        if (h->swapped) swap_values(raw, n, h->value_bytes);
        convert_values(mixed ? mixed : img->data + at, raw, n, h);
        if (mixed) split_colours(img->data, mixed, at, n, h->components, voxels);
    }
    SF_GOTO(done, st, sf_stream_finish(s));
done:
    sf_mem_free(raw);
    sf_mem_free(mixed);
    return st;
}

static sf_status load_voxels(sf_image *img, sf_stream *s, int64_t skip, const sf_nifti_info *h,
                             const char *file)
{
    const int64_t have = sf_stream_file_bytes(s);
    const int64_t ratio = sf_stream_is_gzip(s) ? SF_DEFLATE_RATIO : 1;
    SF_CHECK(h->voxels_at <= have * ratio, SF_EDATA,
             "%s: vox_offset %lld lies beyond the end of the file", file, (long long)h->voxels_at);
    SF_TRY(
        sf_image_reserve(img, file, h->value_bytes, have - (ratio == 1 ? h->voxels_at : 0), ratio));
    SF_TRY(sf_stream_skip(s, skip));
    SF_TRY(read_values(img, s, h));
    return SF_OK;
}

/* Header bytes in native order and their meaning. */
static sf_status read_header(sf_nifti_info *h, unsigned char raw[544], sf_stream *s,
                             const char *file)
{
    bool swapped = false;
    SF_TRY(sf_stream_read(s, raw, 4));
    const int size = sf_nifti_header_size(raw, &swapped);
    SF_CHECK(size > 0, SF_EDATA, "%s: not a NIfTI file (its header size is not 348 or 540)", file);
    SF_TRY(sf_stream_read(s, raw + 4, (size_t)size - 4));
    SF_TRY(sf_nifti_parse(h, raw, file));
    return SF_OK;
}

sf_status sf_nifti_read(sf_image *img, const char *file, unsigned flags)
{
    char head_file[SF_PATH_MAX], voxel_file[SF_PATH_MAX];
    unsigned char raw[544] = { 0 };
    sf_nifti_info h;
    sf_stream *s = NULL;
    sf_status st = SF_OK;
    if (is_half(file, ".img"))
        SF_TRY(partner(head_file, file, ".hdr"));
    else
        SF_TRY(sf_path_format(head_file, "%s", file));
    SF_TRY(sf_stream_open(&s, head_file));
    SF_GOTO(done, st, read_header(&h, raw, s, head_file));
    SF_GOTO(done, st,
            sf_nifti_geometry(&img->geo, &h, raw, head_file,
                              !(flags & (SF_READ_HEADER | SF_READ_LABEL))));
    SF_GOTO(done, st, sf_nifti_channels(&img->channels, &h, head_file));
    if (flags & SF_READ_HEADER) goto done;
    int64_t skip = h.voxels_at;
    if (is_half(head_file, ".hdr")) {
        SF_CHECK_GOTO(done, st, h.pair, SF_EDATA,
                      "%s: this header is of a single-file NIfTI (.nii)", head_file);
        SF_GOTO(done, st, partner(voxel_file, head_file, ".img"));
        sf_stream_close(&s);
        SF_GOTO(done, st, sf_stream_open(&s, voxel_file));
    } else {
        SF_CHECK_GOTO(done, st, !h.pair, SF_EDATA,
                      "%s: the header says that the voxels are in a separate .img file; open the "
                      ".hdr instead",
                      file);
        SF_GOTO(done, st, sf_path_format(voxel_file, "%s", file));
        skip -= img->geo.nifti_header_size;
    }
    SF_GOTO(done, st, load_voxels(img, s, skip, &h, voxel_file));
done:
    sf_stream_close(&s);
    return st;
}

sf_status sf_nifti_write(const char *path, const sf_geometry *geo, const sf_voxels *v)
{
    unsigned char head[544];
    void *packed = NULL;
    sf_status st = SF_OK;
    const int64_t n = sf_geometry_voxels(geo);
    const int type = v->values ? SF_NIFTI_FLOAT32 : v->wide ? SF_NIFTI_UINT16 : SF_NIFTI_UINT8;
    const int size = sf_nifti_make_header(head, geo, type);
    const int level = !ends_with(path, ".gz") ? 0 : v->labels ? 6 : 1; /* real images hardly pack */
    SF_CHECK(size > 0, SF_EUNSUPPORTED, "%s: an axis longer than 32767 needs a NIfTI-2 source",
             path);
    SF_CHECK(ends_with(path, ".nii") || ends_with(path, ".nii.gz"), SF_EUNSUPPORTED,
             "%s: .hdr/.img pairs are only read; write .nii.gz instead", path);
    sf_piece piece[2] = { { head, (size_t)size + 4 }, { v->values, (size_t)n * sizeof(float) } };
    if (v->labels) {
        piece[1].size = (size_t)n << v->wide;
        SF_TRY(sf_mem_alloc(&packed, (size_t)n, (size_t)1 << v->wide, SF_MEM_IMAGE));
        sf_voxels_store(packed, v, v->wide, 0, n);
        piece[1].data = packed;
    }
    SF_GOTO(done, st, sf_stream_save(path, piece, 2, level));
done:
    sf_mem_free(packed);
    return st;
}
