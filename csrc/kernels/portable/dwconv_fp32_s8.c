#include "kernels/kernels.h"

/* Contract: kernels.h, pe_dwconv_fp32_s8_fn. */
void pe_dwconv_fp32_s8__portable_1x1(const pe_dwconv_geometry *g, const int8_t *x, const int8_t *w, const pe_channel *q,
                                     const pe_output_s8 *out, int8_t *y)
{
    for (size_t r = 0; r < g->rows; r++)
        for (size_t c = 0; c < g->cols; c++, y += g->y_stride) {
            const int8_t *window = x + r * g->step_row + c * g->step_col, *tap = w;
            uint32_t sum = (uint32_t)q->bias;
            for (size_t i = 0; i < g->kh; i++)
                for (size_t j = 0; j < g->kw; j++, tap += g->w_stride)
                    sum += (uint32_t)(window[i * g->tap_row + j * g->tap_col] * *tap);
            *y = pe_requantize_s8_fp32(sum, q->a, out);
        }
}
