#include "kernels/kernels.h"

/* Contract: kernels.h, pe_dwconv_s8_fn.
 *
 * Sums of some rows of y first, then their requantization: each loop has its constants in registers. */

#define SUMS 64

/* Nine taps next to each other, with the weights in registers. */
static __attribute__((noinline)) void sums_3x3(const pe_dwconv_geometry *g, size_t rows, size_t cols, const int8_t *x,
                                               const int8_t *w, uint32_t bias, uint32_t *sums)
{
    const size_t n = g->w_stride, step = g->step_col;
    const int32_t w00 = w[0], w01 = w[n], w02 = w[2 * n], w10 = w[3 * n], w11 = w[4 * n], w12 = w[5 * n],
                  w20 = w[6 * n], w21 = w[7 * n], w22 = w[8 * n];
    for (; rows; rows--, x += g->step_row) {
        const int8_t *x0 = x, *x1 = x0 + g->tap_row, *x2 = x1 + g->tap_row;
        for (const uint32_t *end = sums + cols; sums != end; x0 += step, x1 += step, x2 += step) {
            uint32_t sum = bias;
            sum += (uint32_t)(x0[0] * w00 + x0[1] * w01 + x0[2] * w02);
            sum += (uint32_t)(x1[0] * w10 + x1[1] * w11 + x1[2] * w12);
            sum += (uint32_t)(x2[0] * w20 + x2[1] * w21 + x2[2] * w22);
            *sums++ = sum;
        }
    }
}

/* Any taps, one after the other. */
static void sums_any(const pe_dwconv_geometry *g, size_t rows, size_t cols, const int8_t *x, const int8_t *w,
                     uint32_t bias, uint32_t *sums)
{
    for (size_t i = 0; i < rows * cols; i++)
        sums[i] = bias;
    for (size_t i = 0; i < g->kh; i++)
        for (size_t j = 0; j < g->kw; j++, w += g->w_stride) {
            const int8_t *row = x + i * g->tap_row + j * g->tap_col;
            const int32_t weight = *w;
            uint32_t *sum = sums;
            for (size_t r = 0; r < rows; r++, row += g->step_row) {
                const int8_t *from = row;
                for (const uint32_t *end = sum + cols; sum != end; from += g->step_col)
                    *sum++ += (uint32_t)(*from * weight);
            }
        }
}

static void store(size_t n, const uint32_t *sums, const pe_channel *q, const pe_output_s8 *out, int8_t *y,
                  size_t y_stride)
{
    const int32_t multiplier = q->a, shift = q->b, min = out->min, max = out->max, offset = 2 * out->zero_point + 1;
    if (pe_shift_is_short(shift))
        for (const uint32_t *end = sums + n; sums != end; sums++, y += y_stride)
            *y = pe_requantize_s8_short(*sums, (uint32_t)multiplier << 1, (uint32_t)shift - 1, offset, min, max);
    else
        for (const uint32_t *end = sums + n; sums != end; sums++, y += y_stride)
            *y = pe_requantize_s8(*sums, multiplier, shift, out);
}

void pe_dwconv_s8__portable_1x1(const pe_dwconv_geometry *g, const int8_t *x, const int8_t *w, const pe_channel *q,
                                const pe_output_s8 *out, int8_t *y)
{
    uint32_t sums[SUMS];
    const size_t most_rows = g->cols < SUMS ? SUMS / g->cols : 1, most_cols = g->cols < SUMS ? g->cols : SUMS;
    const int is_3x3 = g->kh == 3 && g->kw == 3 && g->tap_col == 1;
    for (size_t r = 0; r < g->rows; r += most_rows)
        for (size_t c = 0; c < g->cols; c += most_cols) {
            const size_t rows = g->rows - r < most_rows ? g->rows - r : most_rows;
            const size_t cols = g->cols - c < most_cols ? g->cols - c : most_cols;
            const int8_t *from = x + r * g->step_row + c * g->step_col;
            (is_3x3 ? sums_3x3 : sums_any)(g, rows, cols, from, w, (uint32_t)q->bias, sums);
            store(rows * cols, sums, q, out, y, g->y_stride);
            y += rows * cols * g->y_stride;
        }
}
