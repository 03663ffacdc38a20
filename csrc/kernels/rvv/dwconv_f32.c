#include "kernels/rvv/rvv.h"

/* Contract: kernels.h, pe_dwconv_f32_fn. The windows of a row of y lie across the vectors. */
void pe_dwconv_f32__rvv_1x1(const pe_dwconv_geometry *g, const float *x, const float *w, float bias, float min,
                            float max, float *y)
{
    const ptrdiff_t x_step = (ptrdiff_t)(g->step_col * sizeof *x), y_step = (ptrdiff_t)(g->y_stride * sizeof *y);
    for (size_t r = 0; r < g->rows; r++, x += g->step_row) {
        const float *windows = x;
        for (size_t vl, left = g->cols; left; left -= vl, windows += vl * g->step_col, y += vl * g->y_stride) {
            vl = __riscv_vsetvl_e32m4(left);
            vfloat32m4_t sum = __riscv_vfmv_v_f_f32m4(bias, vl);
            const float *line = windows, *tap_w = w;
            for (size_t i = 0; i < g->kh; i++, line += g->tap_row) {
                const float *tap = line;
                for (size_t j = 0; j < g->kw; j++, tap += g->tap_col, tap_w += g->w_stride)
                    sum = __riscv_vfmacc_vf_f32m4(sum, *tap_w, __riscv_vlse32_v_f32m4(tap, x_step, vl), vl);
            }
            __riscv_vsse32_v_f32m4(y, y_step, pe_rvv_clip_f32(sum, min, max, vl), vl);
        }
    }
}
