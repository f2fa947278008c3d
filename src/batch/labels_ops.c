#include "batch/labels_ops.h"

/* Rows of one element type: exchange two rows, or two rows each read backwards; then all rows of a
 * volume with the rows that they change places with, in one pass. */
#define MIRROR(T, STRAIGHT, REVERSED, VOLUME)                                                      \
    static void STRAIGHT(T *restrict a, T *restrict b, int64_t n)                                  \
    {                                                                                              \
        for (int64_t k = 0; k < n; k++) {                                                          \
            const T hold = a[k];                                                                   \
            a[k] = b[k];                                                                           \
            b[k] = hold;                                                                           \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static void REVERSED(T *restrict a, T *restrict b, int64_t n)                                  \
    {                                                                                              \
        for (int64_t k = 0; k < n; k++) {                                                          \
            const T hold = a[k];                                                                   \
            a[k] = b[n - 1 - k];                                                                   \
            b[n - 1 - k] = hold;                                                                   \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    void VOLUME(T *x, const int64_t n[3], const bool axis[3])                                      \
    {                                                                                              \
        const int64_t half = n[2] / 2;                                                             \
        for (int64_t r = 0; (axis[0] || axis[1] || axis[2]) && r < n[0] * n[1]; r++) {             \
            const int64_t i = r / n[1], j = r % n[1];                                              \
            const int64_t other =                                                                  \
                (axis[0] ? n[0] - 1 - i : i) * n[1] + (axis[1] ? n[1] - 1 - j : j);                \
            T *a = x + r * n[2], *b = x + other * n[2];                                            \
            if (other > r && axis[2]) REVERSED(a, b, n[2]);                                        \
            if (other > r && !axis[2]) STRAIGHT(a, b, n[2]);                                       \
            if (other == r && axis[2]) REVERSED(a, a + n[2] - half, half);                         \
        }                                                                                          \
    }

MIRROR(float, straight_f32, reversed_f32, sf_mirror_f32)
MIRROR(int16_t, straight_i16, reversed_i16, sf_mirror_i16)

void sf_mask_outside(float *x, const int16_t *seg, int64_t count)
{
    for (int64_t i = 0; i < count; i++) x[i] = seg[i] < 0 ? 0.0f : x[i];
}

void sf_remove_label(int16_t *seg, int64_t count)
{
    for (int64_t i = 0; i < count; i++) seg[i] = seg[i] == -1 ? 0 : seg[i];
}
