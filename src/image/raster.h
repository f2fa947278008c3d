/** What MetaImage and NRRD share: a text header of "key = value" lines, and voxels that follow it
 *  or lie in a file of their own. Each format fills an sf_raster from its keys; the rest is here.
 *
 *  World axes are RAS, as in sf_geometry.affine; both formats count in LPS, so their readers and
 *  writers turn the signs of the first two (nnunet-planning.md 1.6). Private to src/image.
 *  Not collective; one thread per object. */
#ifndef SF_IMAGE_RASTER_H
#define SF_IMAGE_RASTER_H
#include "base/path.h"
#include "image/gz.h"
#include "image/io.h"
#include "image/values.h"

enum { SF_HEADER_LINE = 8192, SF_HEADER_LINES = 4096 };

/** A text header that is read line by line. `file` is borrowed. */
typedef struct {
    const char *file;
    sf_stream *stream;
    int64_t at; /* bytes read */
    int lines;
    char line[SF_HEADER_LINE];
} sf_header;

/** Caller closes. SF_EDATA for a packed header. */
sf_status sf_header_open(sf_header *h, const char *file);
void sf_header_close(sf_header *h);
/** Next line, without its end, in h->line. *more = false at the end of the file (line = "").
 *  SF_EDATA: a line or a header that is too long, or a control character: no text. */
sf_status sf_header_next(sf_header *h, bool *more);
/** Exactly `n` finite numbers between blanks, commas or parentheses; SF_EDATA names file and key.
 */
sf_status sf_header_numbers(double *out, int n, const char *text, const char *file,
                            const char *key);
/** Cut blanks at both ends, in place. @return the first character kept */
char *sf_header_trim(char *text);

typedef enum { SF_RASTER_RAW, SF_RASTER_PACKED, SF_RASTER_TEXT } sf_raster_encoding;

typedef struct {
    int dims;          /* spatial axes: 2 or 3 */
    int64_t size[3];   /* x fastest; 1 beyond dims */
    double spacing[3]; /* > 0 when checked */
    double step[3][3]; /* [axis][world RAS]: from one voxel to the next */
    double origin[3];  /* world RAS of voxel 0 */
    int64_t series;    /* channels stored as the slowest axis; 1 = none */
    sf_value_format values;
    sf_raster_encoding encoding;
    char data_file[SF_PATH_MAX]; /* "" = behind the header */
    int64_t skip_lines, skip;    /* before the voxels; skip -1 = they are the end of the file */
} sf_raster;

/** Identity directions, spacing 1, one raw uint8 voxel. */
void sf_raster_default(sf_raster *r);
/** "dir/of/file/name"; an absolute name stays. */
sf_status sf_raster_beside(char out[SF_PATH_MAX], const char *file, const char *name);
/** Geometry, channels and, without SF_READ_HEADER, voxels. `h` stands behind the header's last
 *  line. SF_EDATA for impossible sizes or spacings, SF_EUNSUPPORTED for colours in a series. */
sf_status sf_raster_load(sf_image *img, const sf_raster *r, sf_image_format format, sf_header *h,
                         unsigned flags);

/** Geometry for a text header, in the formats' LPS. */
typedef struct {
    int dims;               /* 2 or 3 */
    double spacing[3];      /* x first */
    double direction[3][3]; /* [axis][world LPS]: direction * spacing gives back the affine */
    double origin[3];
} sf_raster_frame;
void sf_raster_frame_of(sf_raster_frame *f, const sf_geometry *geo);
/** Appends numbers, blank or comma between them, in the shortest form that reads back. */
void sf_raster_print(char *out, size_t room, const double *v, int n, char between);

/** Packed voxels for writing: zlib or gzip form. Caller frees *out. */
sf_status sf_raster_pack(void **out, size_t *size, const sf_geometry *geo, const sf_voxels *v,
                         bool gzip);

#endif
