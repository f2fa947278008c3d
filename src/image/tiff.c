/* TIFF: one page = a plane (grey, RGB, RGBA), several grey pages = a volume whose spacing stands in
 * a JSON file beside it (nnunet-planning.md 1.6). Lossy and paletted files are refused. */
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/gz.h"
#include "image/io.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <tiffio.h>

/* No packing that we read expands more: LZW, the strongest on empty images, reaches about 2700. */
enum { RATIO = 4096 };

typedef struct {
    const char *name;
    int64_t file_bytes;
    TIFF *tif;
    TIFFOpenOptions *options;
    char reason[160]; /* libtiff's last error text */
    uint32_t width, height;
    uint16_t bits, samples, format;
    int64_t pages;
    unsigned char *block; /* one strip, tile or scan line */
} tiff_work;

static int on_error(TIFF *tif, void *user, const char *module, const char *fmt, va_list args)
{
    tiff_work *w = user;
    (void)tif;
    (void)module;
    vsnprintf(w->reason, sizeof w->reason, fmt, args);
    return 1;
}

static int on_warning(TIFF *tif, void *user, const char *module, const char *fmt, va_list args)
{
    (void)tif;
    (void)user;
    (void)module;
    (void)fmt;
    (void)args;
    return 1;
}

static sf_status broken(const tiff_work *w)
{
    return SF_FAIL(SF_EDATA, "%s: not a sound TIFF file (%s)", w->name,
                   w->reason[0] ? w->reason : "cut short");
}

static sf_status open_tiff(tiff_work *w, const char *file, const char *mode)
{
    w->options = TIFFOpenOptionsAlloc();
    SF_CHECK(w->options, SF_ENOMEM, "%s: libtiff does not start", file);
    TIFFOpenOptionsSetErrorHandlerExtR(w->options, on_error, w);
    TIFFOpenOptionsSetWarningHandlerExtR(w->options, on_warning, NULL);
    w->tif = TIFFOpenExt(file, mode, w->options);
    if (!w->tif && mode[0] == 'w') return SF_FAIL(SF_EIO, "%s: cannot create: %s", file, w->reason);
    if (!w->tif) return broken(w);
    return SF_OK;
}

static void close_tiff(tiff_work *w)
{
    if (w->tif) TIFFClose(w->tif);
    if (w->options) TIFFOpenOptionsFree(w->options);
    sf_mem_free(w->block);
    w->tif = NULL;
    w->options = NULL;
    w->block = NULL;
}

/* ---- spacing beside the file ---- */

/* Stem of `file`, with "_dddd" cut when `cut_channel`; false when there is nothing to cut. */
static bool sidecar_name(char out[SF_PATH_MAX], const char *file, bool cut_channel)
{
    const char *dot = strrchr(file, '.');
    size_t n = (size_t)(dot - file);
    if (cut_channel) {
        if (n < 6 || file[n - 5] != '_') return false;
        for (size_t i = n - 4; i < n; i++)
            if (!isdigit((unsigned char)file[i])) return false;
        n -= 5;
    }
    return sf_path_format(out, "%.*s.json", (int)n, file) == SF_OK;
}

/* The spacing file of an image is named after its case, or after the file itself. */
static bool find_sidecar(char path[SF_PATH_MAX], const char *file, unsigned flags)
{
    const bool label = flags & SF_READ_LABEL;
    if (!label && sidecar_name(path, file, true) && sf_path_is_file(path)) return true;
    return sidecar_name(path, file, false) && sf_path_is_file(path);
}

static sf_status read_sidecar(double spacing[3], const char *file, unsigned flags)
{
    char path[SF_PATH_MAX];
    json_t *json = NULL;
    sf_status st = SF_OK;
    spacing[0] = spacing[1] = spacing[2] = 1.0;
    if (!find_sidecar(path, file, flags)) {
        if (!(flags & SF_READ_LABEL))
            sf_log(SF_LOG_WARN, "image", "file=%s no spacing file beside it: 1 x 1 x 1 is taken",
                   file);
        return SF_OK;
    }
    SF_TRY(sf_json_load(&json, path));
    SF_GOTO(done, st, sf_json_get_nums(spacing, 3, json, "spacing", path));
    for (int a = 0; a < 3; a++)
        SF_CHECK_GOTO(done, st, spacing[a] > 0.0 && spacing[a] < 1e30, SF_EDATA,
                      "%s: spacing[%d] is %g; it must be a positive number", path, a, spacing[a]);
done:
    json_decref(json);
    return st;
}

/* Other keys of that file stay: beside saved probabilities it tells how the case was cropped. */
static sf_status write_sidecar(const double spacing[3], const char *file)
{
    char path[SF_PATH_MAX];
    json_t *json = NULL;
    SF_CHECK(sidecar_name(path, file, false), SF_EINVAL, "%s: the name is too long", file);
    if (sf_path_is_file(path) && sf_json_load(&json, path) != SF_OK) sf_error_clear();
    if (!json_is_object(json)) {
        json_decref(json);
        json = json_object();
    }
    json_object_set_new(json, "spacing", sf_json_nums(spacing, 3));
    const sf_status st = sf_json_save(json, path, 4, false);
    json_decref(json);
    SF_TRY(st);
    return SF_OK;
}

/* ---- reading ---- */

static sf_status check_type(const tiff_work *w)
{
    const bool real = w->format == SAMPLEFORMAT_IEEEFP && (w->bits == 32 || w->bits == 64);
    const bool whole = (w->format == SAMPLEFORMAT_UINT || w->format == SAMPLEFORMAT_INT) &&
                       (w->bits == 8 || w->bits == 16 || w->bits == 32);
    SF_CHECK(real || whole, SF_EUNSUPPORTED,
             "%s: TIFF pixels of %d bits, sample format %d, cannot be used; store 8, 16 or 32 bit "
             "integers or 32 or 64 bit reals",
             w->name, w->bits, w->format);
    return SF_OK;
}

/* Tags of the current page; pages after the first must look the same. */
static sf_status read_tags(tiff_work *w, bool first)
{
    uint32_t width = 0, height = 0;
    uint16_t bits = 1, samples = 1, format = SAMPLEFORMAT_UINT, colour = 0, packing = 1;
    TIFFGetField(w->tif, TIFFTAG_IMAGEWIDTH, &width);
    TIFFGetField(w->tif, TIFFTAG_IMAGELENGTH, &height);
    TIFFGetFieldDefaulted(w->tif, TIFFTAG_BITSPERSAMPLE, &bits);
    TIFFGetFieldDefaulted(w->tif, TIFFTAG_SAMPLESPERPIXEL, &samples);
    TIFFGetFieldDefaulted(w->tif, TIFFTAG_SAMPLEFORMAT, &format);
    TIFFGetFieldDefaulted(w->tif, TIFFTAG_COMPRESSION, &packing);
    TIFFGetField(w->tif, TIFFTAG_PHOTOMETRIC, &colour);
    if (format == SAMPLEFORMAT_VOID) format = SAMPLEFORMAT_UINT;
    SF_CHECK(colour <= PHOTOMETRIC_RGB && packing != COMPRESSION_JPEG &&
                 packing != COMPRESSION_OJPEG,
             SF_EUNSUPPORTED,
             "%s: palette, lossy or special colour TIFFs cannot be used (photometric %d, "
             "compression %d); store plain grey or RGB without loss",
             w->name, colour, packing);
    if (first) {
        w->width = width;
        w->height = height;
        w->bits = bits;
        w->samples = samples;
        w->format = format;
        return check_type(w);
    }
    SF_CHECK(width == w->width && height == w->height && bits == w->bits && samples == w->samples &&
                 format == w->format,
             SF_EDATA, "%s: its pages differ in size or type; a volume needs equal pages", w->name);
    return SF_OK;
}

static float value_at(const tiff_work *w, const unsigned char *p, int64_t k)
{
    const void *v = p;
    if (w->format == SAMPLEFORMAT_IEEEFP)
        return w->bits == 64 ? (float)((const double *)v)[k] : ((const float *)v)[k];
    const bool sign = w->format == SAMPLEFORMAT_INT;
    if (w->bits == 8) return sign ? (float)((const int8_t *)v)[k] : (float)((const uint8_t *)v)[k];
    if (w->bits == 16)
        return sign ? (float)((const int16_t *)v)[k] : (float)((const uint16_t *)v)[k];
    return sign ? (float)((const int32_t *)v)[k] : (float)((const uint32_t *)v)[k];
}

/* Where a page's samples go: samples of one pixel lie `channel_step` values apart. */
typedef struct {
    float *dst;
    int64_t channel_step;
} page_target;

/* Copies a block of rows x cols pixels at (y0, x0), `pitch` pixels per row, clipped to the page. */
static void copy_block(const tiff_work *w, const page_target *t, uint32_t y0, uint32_t x0,
                       uint32_t rows, uint32_t cols, int per_pixel, int channel)
{
    for (uint32_t y = 0; y < rows && y0 + y < w->height; y++)
        for (uint32_t x = 0; x < cols && x0 + x < w->width; x++)
            for (int c = 0; c < per_pixel; c++)
                t->dst[(channel + c) * t->channel_step + (int64_t)(y0 + y) * w->width + x0 + x] =
                    value_at(w, w->block, ((int64_t)y * cols + x) * per_pixel + c);
}

static sf_status read_tiles(tiff_work *w, const page_target *t, int planes, int per_pixel)
{
    uint32_t tw = 0, th = 0;
    TIFFGetField(w->tif, TIFFTAG_TILEWIDTH, &tw);
    TIFFGetField(w->tif, TIFFTAG_TILELENGTH, &th);
    if (tw == 0 || th == 0 || tw > 1 << 20 || th > 1 << 20) return broken(w);
    const int64_t size = (int64_t)tw * th * per_pixel * (w->bits / 8);
    if ((int64_t)TIFFTileSize64(w->tif) != size || size > RATIO * (w->file_bytes + 64))
        return broken(w);
    SF_TRY(sf_mem_alloc(&w->block, (size_t)size, 1, SF_MEM_SCRATCH));
    for (int c = 0; c < planes; c++)
        for (uint32_t y = 0; y < w->height; y += th)
            for (uint32_t x = 0; x < w->width; x += tw) {
                if (TIFFReadTile(w->tif, w->block, x, y, 0, (uint16_t)c) < 0) return broken(w);
                copy_block(w, t, y, x, th, tw, per_pixel, c);
            }
    return SF_OK;
}

static sf_status read_lines(tiff_work *w, const page_target *t, int planes, int per_pixel)
{
    const int64_t size = (int64_t)w->width * per_pixel * (w->bits / 8);
    if ((int64_t)TIFFScanlineSize64(w->tif) != size) return broken(w);
    SF_TRY(sf_mem_alloc(&w->block, (size_t)size, 1, SF_MEM_SCRATCH));
    for (int c = 0; c < planes; c++)
        for (uint32_t y = 0; y < w->height; y++) {
            if (TIFFReadScanline(w->tif, w->block, y, (uint16_t)c) < 0) return broken(w);
            copy_block(w, t, y, 0, 1, w->width, per_pixel, c);
        }
    return SF_OK;
}

static sf_status read_page(tiff_work *w, const page_target *t)
{
    uint16_t planar = PLANARCONFIG_CONTIG;
    TIFFGetFieldDefaulted(w->tif, TIFFTAG_PLANARCONFIG, &planar);
    const bool apart = planar == PLANARCONFIG_SEPARATE && w->samples > 1;
    const int planes = apart ? w->samples : 1, per_pixel = apart ? 1 : w->samples;
    sf_status st = SF_OK;
    if (TIFFIsTiled(w->tif))
        st = read_tiles(w, t, planes, per_pixel);
    else
        st = read_lines(w, t, planes, per_pixel);
    sf_mem_free(w->block);
    w->block = NULL;
    SF_TRY(st);
    return SF_OK;
}

static bool is_colours(int64_t n) { return n == 3 || n == 4; }

/* nnU-Net's readers take grey pages for colours when there are 3 or 4 of them, or of columns: what
 * is meant must be said (planning.md 13). */
static sf_status check_ambiguous(const tiff_work *w, unsigned flags)
{
    char path[SF_PATH_MAX];
    const bool odd = is_colours(w->pages) || is_colours(w->width);
    if (!odd || flags & (SF_READ_LABEL | SF_READ_VOLUME) || find_sidecar(path, w->name, flags))
        return SF_OK;
    return SF_FAIL(SF_EDATA,
                   "%s: %lld grey pages of %u columns could be a volume or colours. For a volume, "
                   "put its voxel size beside it, as {\"spacing\": [z, y, x]} in CASE.json, or say "
                   "\"overwrite_image_reader_writer\": \"Tiff3DIO\" in dataset.json; for colours, "
                   "\"NaturalImage2DIO\"",
                   w->name, (long long)w->pages, w->width);
}

/* What the pages are: sets `planes` and the image's channels. */
static sf_status understand(sf_image *img, const tiff_work *w, unsigned flags, int64_t *planes)
{
    const bool grey = w->samples == 1;
    *planes = w->pages;
    img->channels = w->samples;
    SF_CHECK(
        grey || (is_colours(w->samples) && w->pages == 1), SF_EUNSUPPORTED,
        "%s: %d values per pixel on %lld pages; only grey volumes and single grey, RGB or RGBA "
        "planes can be used",
        w->name, w->samples, (long long)w->pages);
    SF_CHECK(grey || !(flags & SF_READ_VOLUME), SF_EDATA,
             "%s: a colour plane, but dataset.json asks for volumes (Tiff3DIO)", w->name);
    if (!grey || (w->pages == 1 && !(flags & SF_READ_VOLUME))) return SF_OK;
    if (!(flags & SF_READ_PLANE)) return check_ambiguous(w, flags);
    SF_CHECK(is_colours(w->pages), SF_EDATA,
             "%s: %lld pages, but dataset.json asks for planes (NaturalImage2DIO); for volumes say "
             "Tiff3DIO",
             w->name, (long long)w->pages);
    img->channels = (int)w->pages;
    *planes = 1;
    return SF_OK;
}

static sf_status read_geometry(sf_image *img, tiff_work *w, unsigned flags)
{
    double spacing[3] = { 999.0, 1.0, 1.0 };
    int64_t planes = 1;
    SF_TRY(read_tags(w, true));
    w->pages = (int64_t)TIFFNumberOfDirectories(w->tif);
    SF_CHECK(w->width > 0 && w->height > 0 && w->pages > 0, SF_EDATA, "%s: the image is empty",
             w->name);
    SF_TRY(understand(img, w, flags, &planes));
    const bool volume = planes > 1 || flags & SF_READ_VOLUME;
    if (volume) SF_TRY(read_sidecar(spacing, w->name, flags));
    const int64_t shape[3] = { planes, w->height, w->width };
    sf_geometry_make(&img->geo, SF_FORMAT_TIFF, shape, spacing);
    img->geo.is_2d = !volume;
    if (!volume) img->geo.affine[2][2] = 1.0;
    return SF_OK;
}

/* Pages follow each other in memory, be they planes or channels. */
static sf_status read_all_pages(sf_image *img, tiff_work *w)
{
    const int64_t plane = (int64_t)w->width * w->height;
    for (int64_t p = 0; p < w->pages; p++) {
        const page_target t = { img->data + p * plane, plane };
        if (p > 0 && !TIFFReadDirectory(w->tif)) return broken(w);
        SF_TRY(read_tags(w, false));
        SF_TRY(read_page(w, &t));
    }
    return SF_OK;
}

sf_status sf_tiff_read(sf_image *img, const char *file, unsigned flags)
{
    tiff_work w = { .name = file };
    sf_status st = SF_OK;
    SF_TRY(sf_file_size(&w.file_bytes, file));
    SF_GOTO(done, st, open_tiff(&w, file, "r"));
    SF_GOTO(done, st, read_geometry(img, &w, flags));
    if (flags & SF_READ_HEADER) goto done;
    SF_GOTO(done, st, sf_image_reserve(img, file, w.bits / 8, w.file_bytes, RATIO));
    SF_GOTO(done, st, read_all_pages(img, &w));
done:
    close_tiff(&w);
    return st;
}

/* ---- writing ---- */

static void set_tags(TIFF *tif, const sf_geometry *geo, int bits, int format)
{
    TIFFSetField(tif, TIFFTAG_IMAGEWIDTH, (uint32_t)geo->shape[2]);
    TIFFSetField(tif, TIFFTAG_IMAGELENGTH, (uint32_t)geo->shape[1]);
    TIFFSetField(tif, TIFFTAG_BITSPERSAMPLE, bits);
    TIFFSetField(tif, TIFFTAG_SAMPLESPERPIXEL, 1);
    TIFFSetField(tif, TIFFTAG_SAMPLEFORMAT, format);
    TIFFSetField(tif, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
    TIFFSetField(tif, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
    TIFFSetField(tif, TIFFTAG_COMPRESSION, COMPRESSION_ADOBE_DEFLATE);
    TIFFSetField(tif, TIFFTAG_ROWSPERSTRIP, (uint32_t)geo->shape[1]);
}

static sf_status write_pages(tiff_work *w, const sf_geometry *geo, const sf_voxels *v)
{
    const int64_t width = geo->shape[2], height = geo->shape[1];
    const int bits = v->values ? 32 : v->wide ? 16 : 8;
    SF_TRY(sf_mem_alloc(&w->block, (size_t)width, (size_t)bits / 8, SF_MEM_SCRATCH));
    for (int64_t z = 0; z < geo->shape[0]; z++) {
        set_tags(w->tif, geo, bits, v->values ? SAMPLEFORMAT_IEEEFP : SAMPLEFORMAT_UINT);
        for (int64_t y = 0; y < height; y++) {
            const int64_t at = (z * height + y) * width;
            if (v->values)
                memcpy(w->block, v->values + at, (size_t)width * sizeof(float));
            else
                sf_voxels_store(w->block, v, v->wide, at, width);
            SF_CHECK(TIFFWriteScanline(w->tif, w->block, (uint32_t)y, 0) >= 0, SF_EIO,
                     "%s: cannot write (%s)", w->name, w->reason);
        }
        SF_CHECK(TIFFWriteDirectory(w->tif), SF_EIO, "%s: cannot write (%s)", w->name, w->reason);
    }
    return SF_OK;
}

sf_status sf_tiff_write(const char *path, const sf_geometry *geo, const sf_voxels *v)
{
    char tmp[SF_PATH_MAX];
    tiff_work w = { .name = path };
    sf_status st = SF_OK;
    SF_TRY(sf_path_tmp_name(tmp, path));
    SF_GOTO(done, st, open_tiff(&w, tmp, "w"));
    SF_GOTO(done, st, write_pages(&w, geo, v));
done:
    close_tiff(&w);
    if (st != SF_OK) {
        remove(tmp);
        return st;
    }
    SF_TRY(sf_path_commit(tmp, path));
    if (!geo->is_2d) SF_TRY(write_sidecar(geo->spacing, path));
    return SF_OK;
}
