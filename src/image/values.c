#include "image/values.h"
#include "base/mem.h"
#include "image/io.h"

enum { CHUNK = 1 << 16 }; /* values converted at a time */

int sf_scalar_bytes(sf_scalar type)
{
    static const int bytes[] = {
        [SF_SCALAR_U8] = 1,  [SF_SCALAR_I8] = 1,  [SF_SCALAR_U16] = 2, [SF_SCALAR_I16] = 2,
        [SF_SCALAR_U32] = 4, [SF_SCALAR_I32] = 4, [SF_SCALAR_U64] = 8, [SF_SCALAR_I64] = 8,
        [SF_SCALAR_F32] = 4, [SF_SCALAR_F64] = 8
    };
    return bytes[type];
}

void sf_values_swap(void *raw, int64_t n, int bytes)
{
    if (bytes == 2) {
        uint16_t *v = raw;
        for (int64_t i = 0; i < n; i++) v[i] = __builtin_bswap16(v[i]);
    } else if (bytes == 4) {
        uint32_t *v = raw;
        for (int64_t i = 0; i < n; i++) v[i] = __builtin_bswap32(v[i]);
    } else if (bytes == 8) {
        uint64_t *v = raw;
        for (int64_t i = 0; i < n; i++) v[i] = __builtin_bswap64(v[i]);
    }
}

/* As nibabel: scaling in double, then float32. */
#define CONVERT(type)                                                                              \
    do {                                                                                           \
        const type *v = raw;                                                                       \
        if (scaled)                                                                                \
            for (int64_t i = 0; i < n; i++) dst[i] = (float)((double)v[i] * f->slope + f->inter);  \
        else                                                                                       \
            for (int64_t i = 0; i < n; i++) dst[i] = (float)(double)v[i];                          \
    } while (0)

static void convert(float *dst, const void *raw, int64_t n, const sf_value_format *f)
{
    const bool scaled = f->slope != 1.0 || f->inter != 0.0;
    switch (f->type) {
    case SF_SCALAR_U8:
        CONVERT(uint8_t);
        break;
    case SF_SCALAR_I8:
        CONVERT(int8_t);
        break;
    case SF_SCALAR_U16:
        CONVERT(uint16_t);
        break;
    case SF_SCALAR_I16:
        CONVERT(int16_t);
        break;
    case SF_SCALAR_U32:
        CONVERT(uint32_t);
        break;
    case SF_SCALAR_I32:
        CONVERT(int32_t);
        break;
    case SF_SCALAR_U64:
        CONVERT(uint64_t);
        break;
    case SF_SCALAR_I64:
        CONVERT(int64_t);
        break;
    case SF_SCALAR_F32:
        CONVERT(float);
        break;
    case SF_SCALAR_F64:
        CONVERT(double);
        break;
    }
}

void sf_values_split(float *planes, const float *mixed, int64_t at, int64_t n, int components,
                     int64_t voxels)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t k = at + i;
        planes[k % components * voxels + k / components] = mixed[i];
    }
}

sf_status sf_values_load(sf_image *img, const sf_value_format *f, sf_bytes_fn *read, void *source)
{
    const int64_t voxels = sf_geometry_voxels(&img->geo), total = voxels * img->channels;
    const int bytes = sf_scalar_bytes(f->type);
    void *raw = NULL;
    float *mixed = NULL;
    sf_status st = SF_OK;
    SF_TRY(sf_mem_alloc(&raw, CHUNK, (size_t)bytes, SF_MEM_SCRATCH));
    if (f->components > 1)
        SF_GOTO(done, st, sf_mem_alloc(&mixed, CHUNK, sizeof *mixed, SF_MEM_SCRATCH));
    for (int64_t at = 0; at < total; at += CHUNK) {
        const int64_t n = total - at < CHUNK ? total - at : CHUNK;
        SF_GOTO(done, st, read(source, raw, (size_t)(n * bytes)));
        if (f->swapped) sf_values_swap(raw, n, bytes);
        convert(mixed ? mixed : img->data + at, raw, n, f);
        if (mixed) sf_values_split(img->data, mixed, at, n, f->components, voxels);
    }
done:
    sf_mem_free(raw);
    sf_mem_free(mixed);
    return st;
}
