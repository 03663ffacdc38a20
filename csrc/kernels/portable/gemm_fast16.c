#include "kernels/f16.h"
#include "kernels/kernels.h"

/* Contract: kernels.h, pe_gemm_fast16_fn. */
void pe_gemm_fast16__portable_1x1(size_t m, size_t n, size_t k, const void *a, size_t a_stride, const uint16_t *b,
                                  const float *bias, const pe_form_f16 *form, void *c, size_t c_stride)
{
    for (size_t row = 0; row < m; row++)
        for (size_t column = 0; column < n; column++) {
            const uint16_t *w = b + column * k;
            float sum = bias ? bias[column] : 0;
            for (size_t i = 0; i < k;) {
                uint16_t run = 0;
                for (const size_t end = k - i > PE_FAST16_RUN ? i + PE_FAST16_RUN : k; i < end; i++) {
                    const size_t at = row * a_stride + i;
                    const uint16_t x =
                        form->a_is_f16 ? ((const uint16_t *)a)[at] : pe_f16_round(((const float *)a)[at]);
                    run = pe_fma16(x, w[i], run);
                }
                sum += pe_f16_widen(run);
            }
            sum = pe_clip_f32(sum, form->min, form->max);
            if (form->c_is_f16)
                ((uint16_t *)c)[row * c_stride + column] = pe_f16_round(sum);
            else
                ((float *)c)[row * c_stride + column] = sum;
        }
}
