#include "kernels/fma.h"
#include "kernels/kernels.h"

/* Contract: kernels.h, pe_gemm_f32_fn. As gemm_s8.c: four rows of b at a time, named sums. */

static void tile_2x4(size_t n, size_t k, const float *a0, const float *a1, const float *b, const float *bias, float min,
                     float max, float *c0, float *c1)
{
    const float *b0 = b, *b1 = n > 1 ? b0 + k : b0, *b2 = n > 2 ? b1 + k : b1, *b3 = n > 3 ? b2 + k : b2;
    float s00 = 0, s01 = 0, s02 = 0, s03 = 0;
    if (bias) {
        s00 = bias[0];
        s01 = n > 1 ? bias[1] : 0;
        s02 = n > 2 ? bias[2] : 0;
        s03 = n > 3 ? bias[3] : 0;
    }
    float s10 = s00, s11 = s01, s12 = s02, s13 = s03;
    for (size_t i = 0; i < k; i++) {
        float x0 = a0[i], x1 = a1[i];
        s00 = pe_fmaf(x0, b0[i], s00);
        s10 = pe_fmaf(x1, b0[i], s10);
        s01 = pe_fmaf(x0, b1[i], s01);
        s11 = pe_fmaf(x1, b1[i], s11);
        s02 = pe_fmaf(x0, b2[i], s02);
        s12 = pe_fmaf(x1, b2[i], s12);
        s03 = pe_fmaf(x0, b3[i], s03);
        s13 = pe_fmaf(x1, b3[i], s13);
    }
    const float sums[2][4] = {{s00, s01, s02, s03}, {s10, s11, s12, s13}};
    for (size_t j = 0; j < 4 && j < n; j++) {
        c0[j] = pe_clip_f32(sums[0][j], min, max);
        c1[j] = pe_clip_f32(sums[1][j], min, max);
    }
}

static void row(size_t n, size_t k, const float *a, const float *b, const float *bias, float min, float max, float *c)
{
    for (size_t j = 0; j < n; j++, b += k) {
        float sum = bias ? bias[j] : 0;
        for (size_t i = 0; i < k; i++)
            sum = pe_fmaf(a[i], b[i], sum);
        c[j] = pe_clip_f32(sum, min, max);
    }
}

void pe_gemm_f32__portable_2x4(size_t m, size_t n, size_t k, const float *a, size_t a_stride, const float *b,
                               const float *bias, float min, float max, float *c, size_t c_stride)
{
    for (; m >= 2; m -= 2, a += 2 * a_stride, c += 2 * c_stride)
        for (size_t j = 0; j < n; j += 4)
            tile_2x4(n - j, k, a, a + a_stride, b + j * k, bias ? bias + j : NULL, min, max, c + j, c + c_stride + j);
    if (m)
        row(n, k, a, b, bias, min, max, c);
}
