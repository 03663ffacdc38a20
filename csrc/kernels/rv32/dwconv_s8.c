#include "kernels/rv32/rv32.h"

/* Contract: kernels.h, pe_dwconv_s8_fn. Windows of 3 x 3 neighbours, in strides of 1 and 2; others are the portable kernel's. */
void pe_dwconv_s8__rv32_1x3(const pe_dwconv_geometry *g, const int8_t *x, const int8_t *w, const pe_channel *q,
                            const pe_output_s8 *out, int8_t *y)
{
    if (g->kh != 3 || g->kw != 3 || g->tap_col != 1 || g->step_col > 2 || !pe_shift_is_short(q->b)) {
        pe_dwconv_s8__portable_1x1(g, x, w, q, out, y);
        return;
    }
    const pe_rv32_depthwise t = {
        .x = x,
        .w = w,
        .q = q,
        .y = y,
        .w_stride = g->w_stride,
        .tap_row = g->tap_row,
        .step_row = g->step_row,
        .step_col = g->step_col,
        .y_stride = g->y_stride,
        .rows = g->rows,
        .cols = g->cols,
        .offset = 2 * out->zero_point + 1,
        .min = out->min,
        .max = out->max,
    };
    pe_rv32_depthwise_s8(&t);
}
