#include "kernels/kernels.h"

/* Contract: kernels.h, pe_gemm_s8_fn. b and q are taken four rows at a time; the last rows stand in for missing ones,
 * and only what exists is stored. Named sums: compilers leave an array of them in memory. */

/* The sums of one column, requantized and stored for one or two rows. */
static inline void store(const pe_channel *q, const pe_output_s8 *out, uint32_t sum0, uint32_t sum1, int8_t *c0,
                         int8_t *c1)
{
    int32_t multiplier = q->a, shift = q->b;
    if (pe_shift_is_short(shift)) {
        uint32_t twice = (uint32_t)multiplier << 1, less_1 = (uint32_t)shift - 1;
        int32_t offset = 2 * out->zero_point + 1;
        *c0 = pe_requantize_s8_short(sum0, twice, less_1, offset, out->min, out->max);
        if (c1)
            *c1 = pe_requantize_s8_short(sum1, twice, less_1, offset, out->min, out->max);
    } else {
        *c0 = pe_requantize_s8(sum0, multiplier, shift, out);
        if (c1)
            *c1 = pe_requantize_s8(sum1, multiplier, shift, out);
    }
}

static void tile_2x4(size_t n, size_t k, const int8_t *a0, const int8_t *a1, const int8_t *b, const pe_channel *q,
                     const pe_output_s8 *out, int8_t *c0, int8_t *c1)
{
    const int8_t *b0 = b, *b1 = n > 1 ? b0 + k : b0, *b2 = n > 2 ? b1 + k : b1, *b3 = n > 3 ? b2 + k : b2;
    uint32_t s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
#define STEP(i)                            \
    do {                                   \
        int32_t x0 = a0[i], x1 = a1[i], w; \
        w = b0[i];                         \
        s00 += (uint32_t)(x0 * w);         \
        s10 += (uint32_t)(x1 * w);         \
        w = b1[i];                         \
        s01 += (uint32_t)(x0 * w);         \
        s11 += (uint32_t)(x1 * w);         \
        w = b2[i];                         \
        s02 += (uint32_t)(x0 * w);         \
        s12 += (uint32_t)(x1 * w);         \
        w = b3[i];                         \
        s03 += (uint32_t)(x0 * w);         \
        s13 += (uint32_t)(x1 * w);         \
    } while (0)
    for (const int8_t *end = a0 + k / 4 * 4; a0 != end; a0 += 4, a1 += 4, b0 += 4, b1 += 4, b2 += 4, b3 += 4) {
        STEP(0);
        STEP(1);
        STEP(2);
        STEP(3);
    }
    for (size_t i = 0; i < k % 4; i++)
        STEP(i);
#undef STEP
    store(q, out, s00 + (uint32_t)q[0].bias, s10 + (uint32_t)q[0].bias, c0, c1);
    if (n > 1)
        store(q + 1, out, s01 + (uint32_t)q[1].bias, s11 + (uint32_t)q[1].bias, c0 + 1, c1 + 1);
    if (n > 2)
        store(q + 2, out, s02 + (uint32_t)q[2].bias, s12 + (uint32_t)q[2].bias, c0 + 2, c1 + 2);
    if (n > 3)
        store(q + 3, out, s03 + (uint32_t)q[3].bias, s13 + (uint32_t)q[3].bias, c0 + 3, c1 + 3);
}

static void tile_1x4(size_t n, size_t k, const int8_t *a, const int8_t *b, const pe_channel *q, const pe_output_s8 *out,
                     int8_t *c)
{
    const int8_t *b0 = b, *b1 = n > 1 ? b0 + k : b0, *b2 = n > 2 ? b1 + k : b1, *b3 = n > 3 ? b2 + k : b2;
    uint32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#define STEP(i)                      \
    do {                             \
        int32_t x = a[i];            \
        s0 += (uint32_t)(x * b0[i]); \
        s1 += (uint32_t)(x * b1[i]); \
        s2 += (uint32_t)(x * b2[i]); \
        s3 += (uint32_t)(x * b3[i]); \
    } while (0)
    for (const int8_t *end = a + k / 4 * 4; a != end; a += 4, b0 += 4, b1 += 4, b2 += 4, b3 += 4) {
        STEP(0);
        STEP(1);
        STEP(2);
        STEP(3);
    }
    for (size_t i = 0; i < k % 4; i++)
        STEP(i);
#undef STEP
    store(q, out, s0 + (uint32_t)q[0].bias, 0, c, NULL);
    if (n > 1)
        store(q + 1, out, s1 + (uint32_t)q[1].bias, 0, c + 1, NULL);
    if (n > 2)
        store(q + 2, out, s2 + (uint32_t)q[2].bias, 0, c + 2, NULL);
    if (n > 3)
        store(q + 3, out, s3 + (uint32_t)q[3].bias, 0, c + 3, NULL);
}

void pe_gemm_s8__portable_2x4(size_t m, size_t n, size_t k, const int8_t *a, size_t a_stride, const int8_t *b,
                              const pe_channel *q, const pe_output_s8 *out, int8_t *c, size_t c_stride)
{
    for (; m >= 2; m -= 2, a += 2 * a_stride, c += 2 * c_stride)
        for (size_t j = 0; j < n; j += 4)
            tile_2x4(n - j, k, a, a + a_stride, b + j * k, q + j, out, c + j, c + c_stride + j);
    if (m)
        for (size_t j = 0; j < n; j += 4)
            tile_1x4(n - j, k, a, b + j * k, q + j, out, c + j);
}
