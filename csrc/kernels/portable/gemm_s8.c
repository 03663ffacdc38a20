#include "kernels/kernels.h"

/* Contract: kernels.h, pe_gemm_s8_fn.
 *
 * Four rows of b at a time; at the end the last row stands in for missing ones, and only what exists is stored. The
 * sums are named, because compilers leave an array of them in memory. */

/* After each step in k the sums are in registers and the loads of the next step have not begun. Without it GCC 12 loads
 * four steps ahead, adds products to each other first, and spills both: 3.6 instructions per MAC on rv32im instead
 * of 3.0. */
#ifdef __riscv
#define STEP_DONE(...) __asm__("" : __VA_ARGS__ : : "memory")
#else
#define STEP_DONE(...)
#endif

/* The sums of a column, requantized and stored, for one row or two. */
static inline void store(const pe_channel *q, const pe_output_s8 *out, uint32_t sum0, int8_t *c0, uint32_t sum1,
                         int8_t *c1)
{
    const int32_t multiplier = q->a, shift = q->b;
    sum0 += (uint32_t)q->bias;
    sum1 += (uint32_t)q->bias;
    if (pe_shift_is_short(shift)) {
        const uint32_t twice = (uint32_t)multiplier << 1, shift_less_1 = (uint32_t)shift - 1;
        const int32_t offset = 2 * out->zero_point + 1, min = out->min, max = out->max;
        *c0 = pe_requantize_s8_short(sum0, twice, shift_less_1, offset, min, max);
        if (c1)
            *c1 = pe_requantize_s8_short(sum1, twice, shift_less_1, offset, min, max);
    } else {
        *c0 = pe_requantize_s8(sum0, multiplier, shift, out);
        if (c1)
            *c1 = pe_requantize_s8(sum1, multiplier, shift, out);
    }
}

static inline void tile_2x4(size_t n, size_t k, const int8_t *a0, const int8_t *a1, const int8_t *b,
                            const pe_channel *q, const pe_output_s8 *out, int8_t *c0, int8_t *c1)
{
    const int8_t *b0 = b, *b1 = n > 1 ? b0 + k : b0, *b2 = n > 2 ? b1 + k : b1, *b3 = n > 3 ? b2 + k : b2;
    uint32_t s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
#define COLUMN(b, sum0, sum1, i) \
    w = b[i];                    \
    sum0 += (uint32_t)(x0 * w);  \
    sum1 += (uint32_t)(x1 * w);
#define STEP(i)                                                                                            \
    {                                                                                                      \
        const int32_t x0 = a0[i], x1 = a1[i];                                                              \
        int32_t w;                                                                                         \
        COLUMN(b0, s00, s10, i)                                                                            \
        COLUMN(b1, s01, s11, i)                                                                            \
        COLUMN(b2, s02, s12, i)                                                                            \
        COLUMN(b3, s03, s13, i)                                                                            \
        STEP_DONE("+r"(s00), "+r"(s01), "+r"(s02), "+r"(s03), "+r"(s10), "+r"(s11), "+r"(s12), "+r"(s13)); \
    }
    for (const int8_t *end = a0 + (k & ~(size_t)3); a0 != end; a0 += 4, a1 += 4, b0 += 4, b1 += 4, b2 += 4, b3 += 4) {
        STEP(0)
        STEP(1)
        STEP(2)
        STEP(3)
    }
    for (size_t i = 0; i < (k & 3); i++)
        STEP(i)
#undef STEP
#undef COLUMN
    store(&q[0], out, s00, c0, s10, c1);
    if (n > 1)
        store(&q[1], out, s01, c0 + 1, s11, c1 + 1);
    if (n > 2)
        store(&q[2], out, s02, c0 + 2, s12, c1 + 2);
    if (n > 3)
        store(&q[3], out, s03, c0 + 3, s13, c1 + 3);
}

static inline void tile_1x4(size_t n, size_t k, const int8_t *a, const int8_t *b, const pe_channel *q,
                            const pe_output_s8 *out, int8_t *c)
{
    const int8_t *b0 = b, *b1 = n > 1 ? b0 + k : b0, *b2 = n > 2 ? b1 + k : b1, *b3 = n > 3 ? b2 + k : b2;
    uint32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#define STEP(i)                                            \
    {                                                      \
        const int32_t x = a[i];                            \
        s0 += (uint32_t)(x * b0[i]);                       \
        s1 += (uint32_t)(x * b1[i]);                       \
        s2 += (uint32_t)(x * b2[i]);                       \
        s3 += (uint32_t)(x * b3[i]);                       \
        STEP_DONE("+r"(s0), "+r"(s1), "+r"(s2), "+r"(s3)); \
    }
    for (const int8_t *end = a + (k & ~(size_t)3); a != end; a += 4, b0 += 4, b1 += 4, b2 += 4, b3 += 4) {
        STEP(0)
        STEP(1)
        STEP(2)
        STEP(3)
    }
    for (size_t i = 0; i < (k & 3); i++)
        STEP(i)
#undef STEP
    store(&q[0], out, s0, c, 0, NULL);
    if (n > 1)
        store(&q[1], out, s1, c + 1, 0, NULL);
    if (n > 2)
        store(&q[2], out, s2, c + 2, 0, NULL);
    if (n > 3)
        store(&q[3], out, s3, c + 3, 0, NULL);
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
