#include "kernels/rv32/rv32.h"

/* Contract: kernels.h, pe_dwconv_s8_fn. Windows of 3 x 3 neighbours in strides of 1 and 2, along the longer side; others are
 * the portable kernel's. */
void pe_dwconv_s8__rv32_1x3(const pe_dwconv_geometry *g, const int8_t *x, const int8_t *w, const pe_channel *q,
                            const pe_output_s8 *out, int8_t *y)
{
    const bool is_3x3 = g->kh == 3 && g->kw == 3 && g->tap_col == 1;
    if (!is_3x3 || g->step_col > 2 || !pe_shift_is_short(q->b)) {
        pe_dwconv_s8__portable_1x1(g, x, w, q, out, y);
        return;
    }
    pe_rv32_depthwise t = {
        .x = x,
        .w = w,
        .q = q,
        .y = y,
        .offset = 2 * out->zero_point + 1,
        .min = out->min,
        .max = out->max,
        .stride = g->step_col,
    };
    const size_t y_row = g->cols * g->y_stride, w_row = 3 * g->w_stride;
    if (g->rows > g->cols && g->step_row == g->step_col * g->tap_row) {
        t.w_row = g->w_stride, t.w_col = w_row, t.tap_row = 1, t.tap_col = g->tap_row, t.step_row = g->step_col;
        t.y_row = g->y_stride, t.y_col = y_row, t.rows = g->cols, t.cols = g->rows;
        pe_rv32_depthwise_across_s8(&t);
    } else {
        t.w_row = w_row, t.w_col = g->w_stride, t.tap_row = g->tap_row, t.tap_col = 1, t.step_row = g->step_row;
        t.y_row = y_row, t.y_col = g->y_stride, t.rows = g->rows, t.cols = g->cols;
        pe_rv32_depthwise_s8(&t);
    }
}
