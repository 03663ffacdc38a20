#include "kernels/kernels.h"

/* Contract: kernels.h, pe_gemm_s8_fn. Two rows of a by two of b at a time, a last row of a by four; where b has no more rows,
 * its last one stands in, and only what exists is stored. */

/* dot_s8.S: sums of products over the first k / 4 * 4 elements, modulo 2^32. rows of the first: two of a, two of b; sums
 * [a][b]. Of the second: one of a, four of b. Rows need no alignment. */
void pe_armv7em_dot_2x2(const int8_t *const *rows, size_t k, uint32_t *sums);
void pe_armv7em_dot_1x4(const int8_t *const *rows, size_t k, uint32_t *sums);

/* What is left of k. */
static inline uint32_t dot_tail(const int8_t *a, const int8_t *b, size_t k, uint32_t sum)
{
    for (size_t i = k & ~(size_t)3; i < k; i++)
        sum += (uint32_t)(a[i] * b[i]);
    return sum;
}

static inline int8_t output(uint32_t sum, const pe_channel *q, const pe_output_s8 *out)
{
    if (pe_shift_is_short(q->b))
        return pe_requantize_s8_short(sum, (uint32_t)q->a << 1, (uint32_t)q->b - 1, 2 * out->zero_point + 1, out->min,
                                      out->max);
    return pe_requantize_s8(sum, q->a, q->b, out);
}

void pe_gemm_s8__armv7em_2x2(size_t m, size_t n, size_t k, const int8_t *a, size_t a_stride, const int8_t *b,
                             const pe_channel *q, const pe_output_s8 *out, int8_t *c, size_t c_stride)
{
    const pe_output_s8 y = *out; /* a copy that no store to c can change */
    uint32_t sums[4];
    for (; m >= 2; m -= 2, a += 2 * a_stride, c += 2 * c_stride)
        for (size_t j = 0; j < n; j += 2) {
            const size_t last = j + 1 < n ? 1 : 0;
            const int8_t *const rows[] = {a, a + a_stride, b + j * k, b + (j + last) * k};
            pe_armv7em_dot_2x2(rows, k, sums);
            if (k % 4)
                for (size_t i = 0; i < 4; i++)
                    sums[i] = dot_tail(rows[i / 2], rows[2 + i % 2], k, sums[i]);
            for (size_t i = 0; i <= last; i++) {
                const pe_channel channel = q[j + i];
                c[j + i] = output(sums[i] + (uint32_t)channel.bias, &channel, &y);
                c[c_stride + j + i] = output(sums[2 + i] + (uint32_t)channel.bias, &channel, &y);
            }
        }
    if (m)
        for (size_t j = 0; j < n; j += 4) {
            const size_t last = n - j < 4 ? n - j - 1 : 3;
            const int8_t *const w = b + j * k;
            const int8_t *const rows[] = {a, w, w + (last < 1 ? last : 1) * k, w + (last < 2 ? last : 2) * k,
                                          w + last * k};
            pe_armv7em_dot_1x4(rows, k, sums);
            for (size_t i = 0; i <= last; i++) {
                const uint32_t sum = k % 4 ? dot_tail(a, rows[1 + i], k, sums[i]) : sums[i];
                c[j + i] = output(sum + (uint32_t)q[j + i].bias, q + j + i, &y);
            }
        }
}
