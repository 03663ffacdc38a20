/* pe_fmaf(a, b, c): a * b + c, rounded once, to nearest even, subnormals kept, on every core
 * (docs/arithmetic.md, "Fused multiply-add"). The payload of a NaN is unspecified.
 * Compile with -ffp-contract=off, so that no other multiplication and addition is fused. */
#ifndef PE_FMA_H
#define PE_FMA_H
#include <stdint.h>

#define PE_NAN_BITS 0x7FC00000u /* the canonical NaN */

static inline uint32_t pe_float_bits(float x)
{
    uint32_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float pe_float_from_bits(uint32_t bits)
{
    float x;
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
}

/* In integers only; fma.c. */
float pe_fmaf_soft(float a, float b, float c);

/* In doubles, for SSE2 without FMA. The product of two floats is exact in a double. The sum is rounded to odd: cut off,
 * and the last bit set if anything was cut off. 53 bits rounded to odd round to the 24 bits of a float, or to the fewer
 * of a subnormal, as the exact sum does (Boldo and Melquiond 2008: 53 >= 24 + 2). The error of the sum is exact
 * (TwoSum); it is NaN where the sum is not finite, which leaves the sum alone. */
static inline float pe_fmaf_double(float a, float b, float c)
{
    double product = (double)a * (double)b, addend = (double)c, sum = product + addend;
    double part = sum - product, error = (product - (sum - part)) + (addend - part);
    if (error < 0 || error > 0) {
        uint64_t bits;
        __builtin_memcpy(&bits, &sum, sizeof bits);
        bits -= (error < 0) != (sum < 0); /* rounded away from zero: one back, which cuts off */
        bits |= 1;
        __builtin_memcpy(&sum, &bits, sizeof bits);
    }
    return (float)sum;
}

/* clang takes __builtin_fmaf for a library call that sets errno. */
#if defined __has_builtin
#if __has_builtin(__builtin_elementwise_fma)
#define PE_HARD_FMA __builtin_elementwise_fma
#endif
#endif
#ifndef PE_HARD_FMA
#define PE_HARD_FMA __builtin_fmaf
#endif

static inline float pe_fmaf(float a, float b, float c)
{
#if defined __FMA__ || defined __aarch64__ || defined __ARM_FEATURE_FMA || (defined __riscv_flen && __riscv_flen >= 32)
    return PE_HARD_FMA(a, b, c);
#elif defined __x86_64__
    return pe_fmaf_double(a, b, c);
#else
    return pe_fmaf_soft(a, b, c);
#endif
}

static inline int pe_is_nan(float x)
{
    return (pe_float_bits(x) & 0x7FFFFFFF) > 0x7F800000;
}

/* Integers in the order of the floats; both zeros are 0. Not for NaN. */
static inline int32_t pe_float_order(float x)
{
    int32_t bits = (int32_t)pe_float_bits(x);
    return bits >= 0 ? bits : INT32_MIN - bits;
}

/* a <= b; false for NaN. In integers on a RISC-V core without F, where a comparison is a library call. */
static inline int pe_float_le(float a, float b)
{
#if defined __riscv && !defined __riscv_flen
    return !pe_is_nan(a) && !pe_is_nan(b) && pe_float_order(a) <= pe_float_order(b);
#else
    return a <= b;
#endif
}

/* min if x <= min, else max if x >= max, else x: +0 for -0 clipped at +0. NaN stays NaN. */
static inline float pe_clip_f32(float x, float min, float max)
{
    return pe_float_le(x, min) ? min : pe_float_le(max, x) ? max : x;
}
#endif
