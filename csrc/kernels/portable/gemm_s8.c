#include "kernels/kernels.h"

/* Contract: kernels.h, pe_gemm_s8_fn.
 *
 * Four rows of b at a time, eight by a single row of a; at the end the last row stands in for missing ones, and only what
 * exists is stored. The sums are named, because compilers leave an array of them in memory. */

/* After each step in k the sums are in registers and the loads of the next step have not begun. Without it GCC 12 loads
 * four steps ahead, adds products to each other first, and spills both: 3.6 instructions per MAC on rv32im instead
 * of 3.0. */
#ifdef __riscv
#define STEP_DONE(...) __asm__("" : __VA_ARGS__ : : "memory")
#else
#define STEP_DONE(...)
#endif

#define COLUMNS 16 /* requantized at once, so that what they share stays in registers; a multiple of 8 */

/* Steps in k a turn, after which pointers move. Few where this is what the layers of an ISA leave over: small rather than
 * fast. One on x86-64, where GCC 12 makes vectors of the loop itself: of eight steps it makes eight times the code, which
 * takes up to three times the instructions. Without vectors more is faster. */
#define EIGHT STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7)
#if defined PE_WITH_RV32 || defined __SSE2__
#define TURN 1
#define STEPS STEP(0)
#elif defined __riscv
#define TURN 16
#define STEPS EIGHT STEP(8) STEP(9) STEP(10) STEP(11) STEP(12) STEP(13) STEP(14) STEP(15)
#else
#define TURN 8
#define STEPS EIGHT
#endif

/* Sums of two rows, [2][COLUMNS], to n columns of c. */
static inline void store_2(size_t n, const uint32_t *sums, const pe_channel *q, const pe_output_s8 *out, int8_t *c,
                           size_t c_stride)
{
    const int32_t offset = 2 * out->zero_point + 1, min = out->min, max = out->max;
    for (const uint32_t *end = sums + n; sums != end; sums++, q++, c++) {
        const uint32_t bias = (uint32_t)q->bias;
        const int32_t multiplier = q->a, shift = q->b;
        if (pe_shift_is_short(shift)) {
            const uint32_t twice = (uint32_t)multiplier << 1, less = (uint32_t)shift - 1;
            c[0] = pe_requantize_s8_short(sums[0] + bias, twice, less, offset, min, max);
            c[c_stride] = pe_requantize_s8_short(sums[COLUMNS] + bias, twice, less, offset, min, max);
        } else {
            c[0] = pe_requantize_s8(sums[0] + bias, multiplier, shift, out);
            c[c_stride] = pe_requantize_s8(sums[COLUMNS] + bias, multiplier, shift, out);
        }
    }
}

/* Sums of one row. */
static inline void store_1(size_t n, const uint32_t *sums, const pe_channel *q, const pe_output_s8 *out, int8_t *c)
{
    const int32_t offset = 2 * out->zero_point + 1, min = out->min, max = out->max;
    for (const uint32_t *end = sums + n; sums != end; sums++, q++) {
        const uint32_t sum = *sums + (uint32_t)q->bias;
        int32_t y = pe_shift_is_short(q->b)
                        ? pe_requantize_s8_short(sum, (uint32_t)q->a << 1, (uint32_t)q->b - 1, offset, min, max)
                        : pe_requantize_s8(sum, q->a, q->b, out);
        STEP_DONE("+r"(y)); /* else GCC extends the sign of a byte that it stores */
        *c++ = (int8_t)y;
    }
}

/* Sums of two rows by n columns, n >= 1, to [2][COLUMNS]; a multiple of four a row are written. Not inlined: its sums and
 * pointers are all the registers there are. */
static __attribute__((noinline)) void dot_2x4(size_t n, size_t k, const int8_t *a, size_t a_stride, const int8_t *b,
                                              uint32_t *sums)
{
    const int8_t *const last = b + (n - 1) * k;
    for (const uint32_t *end_sums = sums + n; sums < end_sums; sums += 4) {
        const int8_t *a0 = a, *a1 = a + a_stride;
        const int8_t *b0 = b, *b1 = b0 == last ? b0 : b0 + k, *b2 = b1 == last ? b1 : b1 + k,
                     *b3 = b2 == last ? b2 : b2 + k;
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
        for (const int8_t *end = a0 + k / TURN * TURN; a0 != end;) {
            STEPS
            a0 += TURN, a1 += TURN, b0 += TURN, b1 += TURN, b2 += TURN, b3 += TURN;
        }
        if (TURN > 8 && k & 8) {
            EIGHT;
            a0 += 8, a1 += 8, b0 += 8, b1 += 8, b2 += 8, b3 += 8;
        }
        for (const int8_t *end = a + k; a0 != end; a0++, a1++, b0++, b1++, b2++, b3++)
            STEP(0)
#undef STEP
#undef COLUMN
        b = b3;
        sums[0] = s00;
        sums[1] = s01;
        sums[2] = s02;
        sums[3] = s03;
        sums[COLUMNS] = s10;
        sums[COLUMNS + 1] = s11;
        sums[COLUMNS + 2] = s12;
        sums[COLUMNS + 3] = s13;
    }
}

/* Sums of one row by n columns, n >= 1; a multiple of eight are written. */
static __attribute__((noinline)) void dot_1x8(size_t n, size_t k, const int8_t *a, const int8_t *b, uint32_t *sums)
{
    const int8_t *const last = b + (n - 1) * k;
    for (const uint32_t *end_sums = sums + n; sums < end_sums; sums += 8) {
        const int8_t *x_at = a, *b0 = b, *b1 = b0 == last ? b0 : b0 + k, *b2 = b1 == last ? b1 : b1 + k,
                     *b3 = b2 == last ? b2 : b2 + k;
        const int8_t *b4 = b3 == last ? b3 : b3 + k, *b5 = b4 == last ? b4 : b4 + k, *b6 = b5 == last ? b5 : b5 + k,
                     *b7 = b6 == last ? b6 : b6 + k;
        uint32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0;
#define STEP(i)                                                                                    \
    {                                                                                              \
        const int32_t x = x_at[i];                                                                 \
        s0 += (uint32_t)(x * b0[i]);                                                               \
        s1 += (uint32_t)(x * b1[i]);                                                               \
        s2 += (uint32_t)(x * b2[i]);                                                               \
        s3 += (uint32_t)(x * b3[i]);                                                               \
        s4 += (uint32_t)(x * b4[i]);                                                               \
        s5 += (uint32_t)(x * b5[i]);                                                               \
        s6 += (uint32_t)(x * b6[i]);                                                               \
        s7 += (uint32_t)(x * b7[i]);                                                               \
        STEP_DONE("+r"(s0), "+r"(s1), "+r"(s2), "+r"(s3), "+r"(s4), "+r"(s5), "+r"(s6), "+r"(s7)); \
    }
        for (const int8_t *end = x_at + k / TURN * TURN; x_at != end; x_at += TURN) {
            STEPS
            b0 += TURN, b1 += TURN, b2 += TURN, b3 += TURN, b4 += TURN, b5 += TURN, b6 += TURN, b7 += TURN;
        }
        for (const int8_t *end = a + k; x_at != end; x_at++) {
            STEP(0)
            b0++, b1++, b2++, b3++, b4++, b5++, b6++, b7++;
        }
#undef STEP
        b = b7;
        sums[0] = s0;
        sums[1] = s1;
        sums[2] = s2;
        sums[3] = s3;
        sums[4] = s4;
        sums[5] = s5;
        sums[6] = s6;
        sums[7] = s7;
    }
}

void pe_gemm_s8__portable_2x4(size_t m, size_t n, size_t k, const int8_t *a, size_t a_stride, const int8_t *b,
                              const pe_channel *q, const pe_output_s8 *out, int8_t *c, size_t c_stride)
{
    uint32_t sums[2 * COLUMNS];
    for (; m >= 2; m -= 2, a += 2 * a_stride, c += 2 * c_stride)
        for (size_t j = 0; j < n; j += COLUMNS) {
            const size_t width = n - j < COLUMNS ? n - j : COLUMNS;
            dot_2x4(width, k, a, a_stride, b + j * k, sums);
            store_2(width, sums, q + j, out, c + j, c_stride);
        }
    if (m)
        for (size_t j = 0; j < n; j += COLUMNS) {
            const size_t width = n - j < COLUMNS ? n - j : COLUMNS;
            dot_1x8(width, k, a, b + j * k, sums);
            store_1(width, sums, q + j, out, c + j);
        }
}
