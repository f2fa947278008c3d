/* PNG: grey of 1 to 16 bits and RGB(A); a palette is expanded to its colours. */
#include "base/mem.h"
#include "base/path.h"
#include "image/gz.h"
#include "image/io.h"
#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

/* Everything one reading or writing holds. libpng leaves its functions by longjmp, so nothing of
 * this may live in local variables of the function that calls setjmp. */
typedef struct {
    const char *name;
    FILE *file;
    png_structp png;
    png_infop info;
    unsigned char *pixels;
    png_bytep *rows;
    int64_t width, height, row_bytes;
    int channels, depth;
    char reason[128];
} png_work;

static void on_error(png_structp png, png_const_charp text)
{
    png_work *w = png_get_error_ptr(png);
    snprintf(w->reason, sizeof w->reason, "%s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static sf_status broken(const png_work *w)
{
    return SF_FAIL(SF_EDATA, "%s: not a sound PNG file (%s)", w->name, w->reason);
}

static sf_status read_info(png_work *w)
{
    if (setjmp(png_jmpbuf(w->png))) return broken(w);
    png_set_user_limits(w->png, 1000000, 1000000);
    png_init_io(w->png, w->file);
    png_read_info(w->png, w->info);
    const int type = png_get_color_type(w->png, w->info);
    w->depth = png_get_bit_depth(w->png, w->info);
    if (type == PNG_COLOR_TYPE_PALETTE) {
        png_set_palette_to_rgb(w->png);
        if (png_get_valid(w->png, w->info, PNG_INFO_tRNS)) png_set_tRNS_to_alpha(w->png);
    } else if (w->depth == 1) {
        png_set_packing(w->png); /* stays 0 and 1 */
    } else if (w->depth < 8) {
        png_set_expand_gray_1_2_4_to_8(w->png);
    }
    if (w->depth == 16 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) png_set_swap(w->png);
    png_set_interlace_handling(w->png);
    png_read_update_info(w->png, w->info);
    w->width = png_get_image_width(w->png, w->info);
    w->height = png_get_image_height(w->png, w->info);
    w->channels = png_get_channels(w->png, w->info);
    w->row_bytes = (int64_t)png_get_rowbytes(w->png, w->info);
    return SF_OK;
}

static sf_status read_pixels(png_work *w)
{
    if (setjmp(png_jmpbuf(w->png))) return broken(w);
    png_read_image(w->png, w->rows);
    png_read_end(w->png, NULL);
    return SF_OK;
}

static sf_status open_read(png_work *w, const char *file)
{
    w->name = file;
    w->file = fopen(file, "rb");
    SF_CHECK(w->file, SF_EIO, "%s: cannot open: %s", file, strerror(errno));
    w->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, w, on_error, on_warning);
    if (w->png) w->info = png_create_info_struct(w->png);
    SF_CHECK(w->info, SF_ENOMEM, "%s: libpng does not start", file);
    SF_TRY(read_info(w));
    return SF_OK;
}

static void close_read(png_work *w)
{
    if (w->png) png_destroy_read_struct(&w->png, &w->info, NULL);
    if (w->file) fclose(w->file);
    sf_mem_free(w->pixels);
    sf_mem_free(w->rows);
}

static sf_status make_rows(png_work *w)
{
    SF_TRY(sf_mem_alloc(&w->pixels, (size_t)w->height, (size_t)w->row_bytes, SF_MEM_IMAGE));
    SF_TRY(sf_mem_alloc(&w->rows, (size_t)w->height, sizeof *w->rows, SF_MEM_SCRATCH));
    for (int64_t y = 0; y < w->height; y++) w->rows[y] = w->pixels + y * w->row_bytes;
    return SF_OK;
}

/* Interleaved integers to planes of float. */
static void split_channels(float *dst, const png_work *w)
{
    const int64_t n = w->width * w->height;
    for (int64_t y = 0; y < w->height; y++) {
        const uint8_t *b = w->rows[y];
        const uint16_t *s = (const uint16_t *)(const void *)w->rows[y];
        for (int64_t x = 0; x < w->width; x++)
            for (int c = 0; c < w->channels; c++) {
                const int64_t k = x * w->channels + c;
                dst[c * n + y * w->width + x] = w->depth == 16 ? (float)s[k] : (float)b[k];
            }
    }
}

static void plane_geometry(sf_geometry *geo, const png_work *w)
{
    const int64_t shape[3] = { 1, w->height, w->width };
    const double spacing[3] = { 999.0, 1.0, 1.0 };
    sf_geometry_make(geo, SF_FORMAT_PNG, shape, spacing);
    geo->affine[2][2] = 1.0;
}

sf_status sf_png_read(sf_image *img, const char *file, unsigned flags)
{
    png_work w = { 0 };
    int64_t file_bytes = 0;
    sf_status st = SF_OK;
    SF_TRY(sf_file_size(&file_bytes, file));
    SF_GOTO(done, st, open_read(&w, file));
    SF_CHECK_GOTO(done, st, w.channels != 2, SF_EUNSUPPORTED,
                  "%s: grey with transparency is not supported; store it as plain grey", file);
    plane_geometry(&img->geo, &w);
    img->channels = w.channels;
    if (flags & SF_READ_HEADER) goto done;
    /* one-bit rows hold eight pixels per byte on disk: hence the ratio times 8 */
    SF_GOTO(done, st,
            sf_image_reserve(img, file, w.depth == 16 ? 2 : 1, file_bytes, SF_DEFLATE_RATIO * 8));
    SF_GOTO(done, st, make_rows(&w));
    SF_GOTO(done, st, read_pixels(&w));
    split_channels(img->data, &w);
done:
    close_read(&w);
    return st;
}

static sf_status write_pixels(png_work *w)
{
    if (setjmp(png_jmpbuf(w->png)))
        return SF_FAIL(SF_EIO, "%s: cannot write (%s)", w->name, w->reason);
    png_init_io(w->png, w->file);
    png_set_IHDR(w->png, w->info, (png_uint_32)w->width, (png_uint_32)w->height, w->depth,
                 PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(w->png, w->info);
    if (w->depth == 16 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) png_set_swap(w->png);
    png_write_image(w->png, w->rows);
    png_write_end(w->png, NULL);
    return SF_OK;
}

static sf_status write_file(png_work *w, const char *tmp)
{
    sf_status st = SF_OK;
    w->file = fopen(tmp, "wb");
    SF_CHECK(w->file, SF_EIO, "%s: cannot create: %s", tmp, strerror(errno));
    w->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, w, on_error, on_warning);
    if (w->png) w->info = png_create_info_struct(w->png);
    if (w->info)
        st = write_pixels(w);
    else
        st = SF_FAIL(SF_ENOMEM, "%s: libpng does not start", w->name);
    if (w->png) png_destroy_write_struct(&w->png, &w->info);
    if (fclose(w->file) != 0 && st == SF_OK)
        st = SF_FAIL(SF_EIO, "%s: cannot write: %s", w->name, strerror(errno));
    w->file = NULL;
    if (st != SF_OK) remove(tmp);
    return st;
}

sf_status sf_png_write(const char *path, const sf_geometry *geo, const sf_voxels *v)
{
    char tmp[SF_PATH_MAX];
    png_work w = { 0 };
    bool wide = v->wide;
    sf_status st = SF_OK;
    const int64_t n = sf_geometry_voxels(geo);
    SF_CHECK(geo->shape[0] == 1, SF_EUNSUPPORTED,
             "%s: a PNG file holds one plane, but the image has %lld; write .nii.gz or .tif", path,
             (long long)geo->shape[0]);
    if (v->values) SF_TRY(sf_voxels_need_wide(&wide, path, v, n));
    SF_TRY(sf_path_tmp_name(tmp, path));
    w.name = path;
    w.depth = wide ? 16 : 8;
    w.width = geo->shape[2];
    w.height = geo->shape[1];
    w.row_bytes = w.width << wide;
    SF_GOTO(done, st, make_rows(&w));
    sf_voxels_store(w.pixels, v, wide, 0, n);
    SF_GOTO(done, st, write_file(&w, tmp));
    SF_GOTO(done, st, sf_path_commit(tmp, path));
done:
    sf_mem_free(w.pixels);
    sf_mem_free(w.rows);
    return st;
}
