/* From int32 sums to int8, to the bit (docs/arithmetic.md, "Requantize"). Every function is defined for every bit
 * pattern of its arguments, because multipliers and shifts lie in constants, whose bits may flip: sums and left shifts
 * wrap modulo 2^32, shifts are taken & 31. A shift is > 0 to the right and < 0 to the left, as in pe_channel. */
#ifndef PE_REQUANTIZE_H
#define PE_REQUANTIZE_H
#include "kernels/fma.h"
#include "plan.h"

/* What all channels of an int8 output share: y = clamp(zero_point + requantized sum, min, max). */
typedef struct pe_output_s8 {
    int32_t zero_point, min, max; /* -128 .. 127, min <= max */
} pe_output_s8;

static inline int32_t pe_clamp_s32(int32_t x, int32_t min, int32_t max)
{
    x = x < min ? min : x;
    return x > max ? max : x;
}

/* Saturating rounding doubling high multiply: a * b / 2^31 to the nearest, halves up. gemmlowp nudges negative products
 * by 1 - 2^30 before a division that truncates, which is +2^30 before one that floors; only -2^31 * -2^31 saturates. */
static inline int32_t pe_srdhm(int32_t a, int32_t b)
{
    if (a == INT32_MIN && b == INT32_MIN)
        return INT32_MAX;
    return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}

/* Rounding divide by a power of two: x / 2^n to the nearest, halves away from zero. */
static inline int32_t pe_rdbpot(int32_t x, int32_t n)
{
    uint32_t shift = (uint32_t)n & 31, mask = (1u << shift) - 1;
    return (x >> shift) + (((uint32_t)x & mask) > (mask >> 1) + (x < 0));
}

static inline int32_t pe_shift_left(int32_t x, int32_t n)
{
    return (int32_t)((uint32_t)x << ((uint32_t)n & 31));
}

/* x * multiplier * 2^-31 * 2^-shift, rounded twice: TFLite's MultiplyByQuantizedMultiplier. The multiplier's top bit is
 * ignored: Q31, >= 0. */
static inline int32_t pe_requantize(int32_t x, int32_t multiplier, int32_t shift)
{
    multiplier &= INT32_MAX;
    if (shift < 0)
        return pe_srdhm(pe_shift_left(x, (int32_t)(0u - (uint32_t)shift)), multiplier);
    return pe_rdbpot(pe_srdhm(x, multiplier), shift);
}

static inline int8_t pe_output_to_s8(int32_t y, const pe_output_s8 *out)
{
    return (int8_t)(pe_clamp_s32(y, out->min - out->zero_point, out->max - out->zero_point) + out->zero_point);
}

static inline int8_t pe_requantize_s8(uint32_t sum, int32_t multiplier, int32_t shift, const pe_output_s8 *out)
{
    return pe_output_to_s8(pe_requantize((int32_t)sum, multiplier, shift), out);
}

/* The same, short, for the inner loops: 13 instructions on rv32im. Only for shifts of pe_shift_is_short().
 *
 * twice: 2 * multiplier mod 2^32. shift_less_1: shift - 1. offset: 2 * zero_point + 1. Returns min .. max.
 * The first rounding is one bit of the low word. It gives h > -2^31, so that h - (h < 0) does not overflow. The second
 * rounds halves away from zero: h - (h < 0) leaves only halves to round up. Shifting in two steps keeps the
 * rounding bit and the zero point from overflowing, even for sums near 2^31. */
static inline int32_t pe_requantize_s8_short(uint32_t sum, uint32_t twice, uint32_t shift_less_1, int32_t offset,
                                             int32_t min, int32_t max)
{
    uint64_t product = (uint64_t)((int64_t)(int32_t)sum * (int64_t)(uint64_t)twice);
    int32_t h = (int32_t)((uint32_t)(product >> 32) + ((uint32_t)product >> 31));
    h += h >> 31;
    return pe_clamp_s32(((h >> shift_less_1) + offset) >> 1, min, max);
}

static inline int pe_shift_is_short(int32_t shift)
{
    return (uint32_t)shift - 2 < 30; /* 2 .. 31 */
}

/* round((double)sum * scale), halves away from zero, saturated to int32: LiteRT's reference kernel of fully connected.
 * The product is rounded to a double first, half to even, as the C expression does. low, high: the words of the double
 * scale; infinities and NaNs are taken as numbers with exponent 2^1024. In integers, so that a core without doubles
 * needs no library. */
int32_t pe_requantize_litert_ref(int32_t sum, int32_t low, int32_t high);

/* PE_ROUND_FP32: (float)sum * factor to the nearest integer, halves to even, within low .. high (|low|, |high| < 2^22): what
 * ONNX Runtime and XNNPACK compute. A NaN gives low or high. */
static inline int32_t pe_requantize_fp32(int32_t sum, float factor, int32_t low, int32_t high)
{
    const float to_integer = 12582912.0f; /* 1.5 * 2^23: the low bits of a sum with it are the rounded integer */
    float y = pe_clip_f32((float)sum * factor, (float)low, (float)high);
    return pe_clamp_s32((int32_t)(pe_float_bits(y + to_integer) - pe_float_bits(to_integer)), low, high);
}

/* The same as an epilogue; factor: the bits of the float. */
static inline int8_t pe_requantize_s8_fp32(uint32_t sum, int32_t factor, const pe_output_s8 *out)
{
    int32_t y = pe_requantize_fp32((int32_t)sum, pe_float_from_bits((uint32_t)factor), out->min - out->zero_point,
                                   out->max - out->zero_point);
    return (int8_t)(y + out->zero_point);
}
#endif
