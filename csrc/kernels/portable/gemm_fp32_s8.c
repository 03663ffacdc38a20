#include "kernels/kernels.h"

/* Contract: kernels.h, pe_gemm_fp32_s8_fn. */
void pe_gemm_fp32_s8__portable_1x1(size_t m, size_t n, size_t k, const int8_t *a, size_t a_stride, const int8_t *b,
                                   const pe_channel *q, const pe_output_s8 *out, int8_t *c, size_t c_stride)
{
    for (; m; m--, a += a_stride, c += c_stride) {
        const int8_t *w = b;
        for (size_t j = 0; j < n; j++, w += k) {
            uint32_t sum = (uint32_t)q[j].bias;
            for (size_t i = 0; i < k; i++)
                sum += (uint32_t)(a[i] * w[i]);
            c[j] = pe_requantize_s8_fp32(sum, q[j].a, out);
        }
    }
}
