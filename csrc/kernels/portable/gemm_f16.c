#include "kernels/f16.h"
#include "kernels/kernels.h"

/* Contract: kernels.h, pe_gemm_f16_fn. As gemm_f32.c, each element widened where it is read. */

static void store(void *c, size_t i, float sum, const pe_form_f16 *form)
{
    pe_float_put(c, i, form->c_is_f16, pe_clip_f32(sum, form->min, form->max));
}

/* Two rows of a, a_stride elements apart, by up to four rows of b. */
static void tile_2x4(size_t n, size_t k, const void *a, size_t a_stride, const uint16_t *b, const float *bias,
                     const pe_form_f16 *form, void *c, size_t c_stride)
{
    const uint16_t *b0 = b, *b1 = n > 1 ? b0 + k : b0, *b2 = n > 2 ? b1 + k : b1, *b3 = n > 3 ? b2 + k : b2;
    float s00 = 0, s01 = 0, s02 = 0, s03 = 0;
    if (bias) {
        s00 = bias[0];
        s01 = n > 1 ? bias[1] : 0;
        s02 = n > 2 ? bias[2] : 0;
        s03 = n > 3 ? bias[3] : 0;
    }
    float s10 = s00, s11 = s01, s12 = s02, s13 = s03;
    for (size_t i = 0; i < k; i++) {
        const float x0 = pe_float_at(a, (ptrdiff_t)i, form->a_is_f16),
                    x1 = pe_float_at(a, (ptrdiff_t)(i + a_stride), form->a_is_f16);
        const float w0 = pe_f16_widen(b0[i]), w1 = pe_f16_widen(b1[i]);
        const float w2 = pe_f16_widen(b2[i]), w3 = pe_f16_widen(b3[i]);
        s00 = pe_fmaf(x0, w0, s00);
        s10 = pe_fmaf(x1, w0, s10);
        s01 = pe_fmaf(x0, w1, s01);
        s11 = pe_fmaf(x1, w1, s11);
        s02 = pe_fmaf(x0, w2, s02);
        s12 = pe_fmaf(x1, w2, s12);
        s03 = pe_fmaf(x0, w3, s03);
        s13 = pe_fmaf(x1, w3, s13);
    }
    const float sums[2][4] = {{s00, s01, s02, s03}, {s10, s11, s12, s13}};
    for (size_t j = 0; j < 4 && j < n; j++) {
        store(c, j, sums[0][j], form);
        store(c, j + c_stride, sums[1][j], form);
    }
}

static void row(size_t n, size_t k, const void *a, const uint16_t *b, const float *bias, const pe_form_f16 *form,
                void *c)
{
    for (size_t j = 0; j < n; j++, b += k) {
        float sum = bias ? bias[j] : 0;
        for (size_t i = 0; i < k; i++)
            sum = pe_fmaf(pe_float_at(a, (ptrdiff_t)i, form->a_is_f16), pe_f16_widen(b[i]), sum);
        store(c, j, sum, form);
    }
}

void pe_gemm_f16__portable_2x4(size_t m, size_t n, size_t k, const void *a, size_t a_stride, const uint16_t *b,
                               const float *bias, const pe_form_f16 *form, void *c, size_t c_stride)
{
    const size_t a_row = a_stride * (form->a_is_f16 ? 2 : 4), c_element = form->c_is_f16 ? 2 : 4;
    const uint8_t *from = a;
    uint8_t *to = c;
    for (; m >= 2; m -= 2, from += 2 * a_row, to += 2 * c_stride * c_element)
        for (size_t j = 0; j < n; j += 4)
            tile_2x4(n - j, k, from, a_stride, b + j * k, bias ? bias + j : NULL, form, to + j * c_element, c_stride);
    if (m)
        row(n, k, from, b, bias, form, to);
}
