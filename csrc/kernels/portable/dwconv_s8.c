#include "kernels/kernels.h"

/* Contract: kernels.h, pe_dwconv_s8_fn. */

static inline int8_t requantize(uint32_t sum, const pe_channel *q, const pe_output_s8 *out)
{
    if (pe_shift_is_short(q->b))
        return pe_requantize_s8_short(sum, (uint32_t)q->a << 1, (uint32_t)q->b - 1, 2 * out->zero_point + 1, out->min,
                                      out->max);
    return pe_requantize_s8(sum, q->a, q->b, out);
}

/* Nine taps next to each other, with the weights in registers. */
static void taps_3x3(const pe_dwconv_geometry *g, const int8_t *x, const int8_t *w, const pe_channel *q,
                     const pe_output_s8 *out, int8_t *y)
{
    const size_t n = g->w_stride;
    const int32_t w00 = w[0], w01 = w[n], w02 = w[2 * n], w10 = w[3 * n], w11 = w[4 * n], w12 = w[5 * n],
                  w20 = w[6 * n], w21 = w[7 * n], w22 = w[8 * n];
    const pe_channel channel = *q;
    for (size_t r = 0; r < g->rows; r++, x += g->step_row, y += g->y_row) {
        const int8_t *x0 = x, *x1 = x0 + g->tap_row, *x2 = x1 + g->tap_row;
        int8_t *to = y;
        for (size_t c = g->cols; c; c--) {
            uint32_t sum = (uint32_t)channel.bias;
            sum += (uint32_t)(x0[0] * w00 + x0[1] * w01 + x0[2] * w02);
            sum += (uint32_t)(x1[0] * w10 + x1[1] * w11 + x1[2] * w12);
            sum += (uint32_t)(x2[0] * w20 + x2[1] * w21 + x2[2] * w22);
            *to = requantize(sum, &channel, out);
            to += g->y_col;
            x0 += g->step_col;
            x1 += g->step_col;
            x2 += g->step_col;
        }
    }
}

void pe_dwconv_s8__portable_1x1(const pe_dwconv_geometry *g, const int8_t *x, const int8_t *w, const pe_channel *q,
                                const pe_output_s8 *out, int8_t *y)
{
    if (g->kh == 3 && g->kw == 3 && g->tap_col == 1) {
        taps_3x3(g, x, w, q, out, y);
        return;
    }
    for (size_t r = 0; r < g->rows; r++)
        for (size_t c = 0; c < g->cols; c++) {
            const int8_t *window = x + r * g->step_row + c * g->step_col, *tap_w = w;
            uint32_t sum = (uint32_t)q->bias;
            for (size_t i = 0; i < g->kh; i++, window += g->tap_row) {
                const int8_t *tap = window;
                for (size_t j = 0; j < g->kw; j++, tap += g->tap_col, tap_w += g->w_stride)
                    sum += (uint32_t)(*tap * *tap_w);
            }
            y[r * g->y_row + c * g->y_col] = requantize(sum, q, out);
        }
}
