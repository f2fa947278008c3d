#include "base/mem.h"
#include "base/path.h"
#include "image/gz.h"
#include "image/io.h"
#include "image/nifti_header.h"
#include <string.h>
#include <strings.h>

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

static sf_status next_bytes(void *stream, void *dst, size_t size)
{
    return sf_stream_read(stream, dst, size);
}

static sf_status load_voxels(sf_image *img, sf_stream *s, int64_t skip, const sf_nifti_info *h,
                             const char *file)
{
    const int64_t have = sf_stream_file_bytes(s);
    const int64_t ratio = sf_stream_is_gzip(s) ? SF_DEFLATE_RATIO : 1;
    SF_CHECK(h->voxels_at <= have * ratio, SF_EDATA,
             "%s: vox_offset %lld lies beyond the end of the file", file, (long long)h->voxels_at);
    SF_TRY(sf_image_reserve(img, file, sf_scalar_bytes(h->values.type),
                            have - (ratio == 1 ? h->voxels_at : 0), ratio));
    SF_TRY(sf_stream_skip(s, skip));
    SF_TRY(sf_values_load(img, &h->values, next_bytes, s));
    SF_TRY(sf_stream_finish(s));
    return SF_OK;
}

sf_status sf_nifti_read_header(sf_nifti_info *h, unsigned char raw[544], sf_stream *s,
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
    SF_GOTO(done, st, sf_nifti_read_header(&h, raw, s, head_file));
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
    const sf_scalar type = v->values ? SF_SCALAR_F32 : v->wide ? SF_SCALAR_U16 : SF_SCALAR_U8;
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
