/* Assembly of this folder, and what its parts share. For Armv8.1-M with integer vectors (MVE, Helium); floats stay scalar,
 * because vectors flush subnormals. */
#ifndef PE_MVE_H
#define PE_MVE_H
#include <arm_mve.h>

#include "kernels/kernels.h"

/* Rows of x by four times `blocks` channels: y[m][n] = requantize(bias[n] + sum over k of x[m][k] * w[n][k])
 *
 * x      int8  [k] each
 * w      int8  [n][k]
 * q      [n]            all shifts short (pe_shift_is_short)
 * y      int8  [m][n]   row stride y_stride
 * k, blocks >= 1. Any bits of w and x are right, and none beyond them is read. The assembly knows the offsets. */
typedef struct pe_mve_rows {
    const int8_t *x[3];
    const int8_t *w;
    const pe_channel *q;
    int8_t *y;
    uint32_t y_stride, k, blocks;
    int32_t zero_point, min, max;
} pe_mve_rows;

void pe_mve_1_row_s8(const pe_mve_rows *t);
void pe_mve_3_rows_s8(const pe_mve_rows *t);
void pe_mve_3_short_rows_s8(const pe_mve_rows *t); /* k up to 16 */

/* pe_gemm_s8_fn for n >= 4 and short shifts. */
pe_gemm_s8_fn pe_mve_gemm_s8;

/* Whether pe_shift_is_short for all of n channels. */
bool pe_mve_all_short(const pe_channel *q, size_t n);

/* Four rows of 16 channels become words of their bytes: to[i][channel][row] = row[i * step + channel], zero from `channels` on.
 *
 * channels 1 .. 16, n >= 1 */
typedef struct pe_mve_quad {
    const int8_t *row[4];
    uint32_t step[4];
} pe_mve_quad;

void pe_mve_interleave(const pe_mve_quad *rows, uint32_t n, uint32_t channels, int8_t *to);

/* n windows in a row by up to 16 channels: y[i * y_step + c] = requantize(bias[c] + sum over blocks b, columns j < 4, rows r < 4 of
 * x[blocks[b] + i * x_step + j * x_tap + 4 * c + r] * w[256 * b + 64 * j + 4 * c + r])
 *
 * x, w    as pe_mve_interleave makes them; aligned to 4, as are blocks, x_tap, x_step
 * q       all shifts short
 * sums    room for [n][4]
 * n, block_count >= 1, channels 1 .. 16; all 16 are read of x and w. The assembly knows the offsets. */
typedef struct pe_mve_depthwise {
    const int8_t *x, *w;
    const pe_channel *q;
    int8_t *y;
    int32_t *sums;
    const uint32_t *blocks;
    uint32_t block_count, n, x_tap, x_step, y_step, channels;
    int32_t zero_point, min, max;
} pe_mve_depthwise;

void pe_mve_depthwise_s8(const pe_mve_depthwise *t);

static inline void pe_mve_copy(int8_t *to, const int8_t *from, uint32_t n)
{
    for (int32_t left = (int32_t)n; left > 0; left -= 16, to += 16, from += 16) {
        const mve_pred16_t p = vctp8q((uint32_t)left);
        vstrbq_p_s8(to, vldrbq_z_s8(from, p), p);
    }
}

static inline void pe_mve_fill(int8_t *to, int8_t value, uint32_t n)
{
    const int8x16_t values = vdupq_n_s8(value);
    for (int32_t left = (int32_t)n; left > 0; left -= 16, to += 16)
        vstrbq_p_s8(to, values, vctp8q((uint32_t)left));
}
#endif
