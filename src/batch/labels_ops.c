#include "batch/labels_ops.h"
#include <string.h>

/* Swap two non-overlapping rows of `bytes`. */
static void swap_rows(char *a, char *b, size_t bytes)
{
    char hold[512];
    while (bytes > 0) {
        const size_t part = bytes < sizeof hold ? bytes : sizeof hold;
        memcpy(hold, a, part);
        memcpy(a, b, part);
        memcpy(b, hold, part);
        a += part;
        b += part;
        bytes -= part;
    }
}

/* Reverse the order of n blocks of `bytes`. */
static void reverse_blocks(char *x, int64_t n, size_t bytes)
{
    for (int64_t i = 0; i < n / 2; i++) {
        swap_rows(x + (size_t)i * bytes, x + (size_t)(n - 1 - i) * bytes, bytes);
    }
}

static void mirror_outer(void *x, const int64_t n[3], const bool axis[3], size_t element)
{
    const size_t row = (size_t)n[2] * element, slice = (size_t)n[1] * row;
    if (axis[0]) reverse_blocks(x, n[0], slice);
    for (int64_t i = 0; axis[1] && i < n[0]; i++) {
        reverse_blocks((char *)x + (size_t)i * slice, n[1], row);
    }
}

void sf_mirror_f32(float *x, const int64_t n[3], const bool axis[3])
{
    mirror_outer(x, n, axis, sizeof *x);
    for (int64_t r = 0; axis[2] && r < n[0] * n[1]; r++) {
        float *row = x + r * n[2];
        for (int64_t i = 0, j = n[2] - 1; i < j; i++, j--) {
            const float hold = row[i];
            row[i] = row[j];
            row[j] = hold;
        }
    }
}

void sf_mirror_i16(int16_t *x, const int64_t n[3], const bool axis[3])
{
    mirror_outer(x, n, axis, sizeof *x);
    for (int64_t r = 0; axis[2] && r < n[0] * n[1]; r++) {
        int16_t *row = x + r * n[2];
        for (int64_t i = 0, j = n[2] - 1; i < j; i++, j--) {
            const int16_t hold = row[i];
            row[i] = row[j];
            row[j] = hold;
        }
    }
}

void sf_mask_outside(float *x, const int16_t *seg, int64_t count)
{
    for (int64_t i = 0; i < count; i++) x[i] = seg[i] < 0 ? 0.0f : x[i];
}

void sf_remove_label(int16_t *seg, int64_t count)
{
    for (int64_t i = 0; i < count; i++) seg[i] = seg[i] == -1 ? 0 : seg[i];
}
