#include "kernels/fma.h"
#include "kernels/kernels.h"

/* Contract: kernels.h, pe_dwconv_f32_fn. */
void pe_dwconv_f32__portable_1x1(const pe_dwconv_geometry *g, const float *x, const float *w, float bias, float min,
                                 float max, float *y)
{
    for (size_t r = 0; r < g->rows; r++)
        for (size_t c = 0; c < g->cols; c++, y += g->y_stride) {
            const float *window = x + r * g->step_row + c * g->step_col, *tap_w = w;
            float sum = bias;
            for (size_t i = 0; i < g->kh; i++, window += g->tap_row) {
                const float *tap = window;
                for (size_t j = 0; j < g->kw; j++, tap += g->tap_col, tap_w += g->w_stride)
                    sum = pe_fmaf(*tap, *tap_w, sum);
            }
            *y = pe_clip_f32(sum, min, max);
        }
}
