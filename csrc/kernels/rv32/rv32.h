/* Assembly of this folder, and what its parts share. For rv32im without gp and tp, which interrupt handlers may rely on. */
#ifndef PE_RV32_H
#define PE_RV32_H
#include <stdbool.h>

#include "kernels/kernels.h"

/* Four pixels by all channels: y[p][n] = requantize(bias[n] + sum over k of x[k][p] * w[n][k])
 *
 * x      words   [k][2]   pixel 0 + (pixel 1 << 16), pixel 2 + (pixel 3 << 16), each sum modulo 2^32
 * w      int8    [n][k]   n = 4 * blocks
 * q      [n]              all shifts short (pe_shift_is_short)
 * y      int8    [4][n]   row stride y_stride
 * k, blocks >= 1. Any bits of w and x are right. The assembly knows the offsets of the fields. */
typedef struct pe_rv32_pairs {
    const uint32_t *x;
    const int8_t *w;
    const pe_channel *q;
    int8_t *y;
    uint32_t y_stride, k, blocks;
    int32_t offset, min, max; /* of y: 2 * zero point + 1, and the clamp */
} pe_rv32_pairs;

void pe_rv32_pairs_s8(const pe_rv32_pairs *t);

/* Windows of 3 x 3, in strides of 1 or 2 along both sides, of one channel.
 *
 * y[r * y_row + c * y_col] = requantize(bias + sum over i, j < 3 of x[r * step_row + i * tap_row + (c * stride + j) * tap_col]
 *                                       * w[i * w_row + j * w_col])
 *
 * The first function takes a tap_col of 1 only. rows, cols >= 1. The shift of q is short. Reads nothing but the windows. */
typedef struct pe_rv32_depthwise {
    const int8_t *x, *w;
    const pe_channel *q;
    int8_t *y;
    uint32_t w_row, w_col, tap_row, tap_col, step_row, stride, y_row, y_col, rows, cols;
    int32_t offset, min, max; /* as above */
} pe_rv32_depthwise;

void pe_rv32_depthwise_s8(const pe_rv32_depthwise *t);
void pe_rv32_depthwise_across_s8(const pe_rv32_depthwise *t);

/* A row of V of one tile of winograd_s8.c, from two rows of four pixels, as v[k][4 positions][4 tiles]; v: of the tile.
 *
 * t[j] = x[j][k] - x[4 + j][k], or their sum where `add`; v[k] = t[0] - t[2], t[1] + t[2], t[2] - t[1], t[1] - t[3]. depth is
 * a multiple of 8. */
void pe_rv32_winograd_row_s8(const int8_t *const x[8], size_t depth, int16_t *v, bool add);

/* For each of 4 positions p: m[p][r][t] = sum over k of u[p][k][r] * v[k][p][t], modulo 2^32; r, t < 4, k a multiple of 8. */
void pe_rv32_winograd_s8(const int16_t *u, const int16_t *v, uint32_t *m, size_t k);

/* A pe_op_fn for windows of 3 x 3 in stride 1; all shifts are short. */
bool pe_rv32_conv2d_winograd_s8(const struct pe_call *c);

/* One row of canonical weights: y[n] = requantize(bias[n] + sum over k of x[k] * w[n][k]), n = 8 * blocks. Shifts are short. */
typedef struct pe_rv32_linear {
    const int8_t *x, *w;
    const pe_channel *q;
    int8_t *y;
    uint32_t k, blocks;
    int32_t offset, min, max; /* as above */
} pe_rv32_linear;

void pe_rv32_linear8_s8(const pe_rv32_linear *t);
void pe_rv32_linear_s8(const pe_rv32_linear *t, size_t n); /* any n >= 8; blocks is not read */

/* The same with w in interleaved rows, uint8 [blocks][k][16 or 4] on a multiple of 4; n = 16 or 4 * blocks. */
void pe_rv32_interleaved16_s8(const pe_rv32_linear *t);
void pe_rv32_interleaved4_s8(const pe_rv32_linear *t);

/* Whether the short requantization is right for all of n channels. */
static inline bool pe_shifts_are_short(const void *channels, size_t n)
{
    for (const pe_channel *q = channels; n; n--, q++)
        if (!pe_shift_is_short(q->b))
            return false;
    return true;
}
#endif
