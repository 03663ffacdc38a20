/* float16, IEEE binary16, as its 16 bits: every core has integers of that size, few have the type. Round to nearest
 * even, subnormals kept, infinity beyond 65504; sign and payload of a NaN are unspecified. By instructions of RISC-V cores
 * with Zfh, conversions with Zfhmin and on arm64 too; else in integers. */
#ifndef PE_F16_H
#define PE_F16_H
#include <stdbool.h>
#include <stddef.h>

#include "kernels/fma.h"

#define PE_FAST16_RUN 32 /* products that are summed in float16 before the sum goes into a float (docs/arithmetic.md) */

#if defined __riscv_zfhmin /* Zfh has it too */
#define PE_HALF _Float16
#elif defined __aarch64__
#define PE_HALF __fp16 /* conversions alone: Armv8.0 has no more */
#endif

#ifdef PE_HALF
static inline PE_HALF pe_f16_from_bits(uint16_t bits)
{
    PE_HALF x;
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint16_t pe_f16_bits(PE_HALF x)
{
    uint16_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    return bits;
}
#endif

/* Exact. */
static inline float pe_f16_widen(uint16_t x)
{
#ifdef PE_HALF
    return (float)pe_f16_from_bits(x);
#else
    const uint32_t sign = (uint32_t)(x & 0x8000) << 16;
    uint32_t bits = (uint32_t)(x & 0x7FFF) << 13, exponent = 127 - 15;
    if (bits >= 0x7C00u << 13)
        exponent = 255 - 31;
    else if (bits != 0 && bits < 0x0400u << 13) { /* subnormal: up to where a float has its leading bit */
        for (; bits < 0x0400u << 13; bits <<= 1)
            exponent--;
    } else if (bits == 0)
        exponent = 0;
    return pe_float_from_bits(sign | (bits + (exponent << 23)));
#endif
}

static inline uint16_t pe_f16_round(float x)
{
#ifdef PE_HALF
    return pe_f16_bits((PE_HALF)x);
#else
    const uint32_t bits = pe_float_bits(x), magnitude = bits & 0x7FFFFFFF;
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    if (magnitude > 0x7F800000)
        return sign | 0x7E00;
    if (magnitude >= 0x47800000) /* 65536 */
        return sign | 0x7C00;
    uint32_t exponent = magnitude >> 23, shift = 13;
    if (exponent < 102) /* below a half of the smallest */
        return sign;
    uint32_t mantissa = (magnitude & 0x7FFFFF) | 0x800000;
    if (exponent < 113) {
        shift += 113 - exponent;
        exponent = 113;
    }
    /* Half to even; a carry goes on into the exponent, and so to infinity. */
    mantissa = (mantissa + (1u << (shift - 1)) - 1 + (mantissa >> shift & 1)) >> shift;
    return (uint16_t)(sign | (((exponent - 113) << 10) + mantissa));
#endif
}

/* Element i of float16, or of floats. */
static inline float pe_float_at(const void *x, ptrdiff_t i, bool is_f16)
{
    return is_f16 ? pe_f16_widen(((const uint16_t *)x)[i]) : ((const float *)x)[i];
}

static inline uint16_t pe_f16_at(const void *x, ptrdiff_t i, bool is_f16)
{
    return is_f16 ? ((const uint16_t *)x)[i] : pe_f16_round(((const float *)x)[i]);
}

static inline void pe_float_put(void *y, size_t i, bool is_f16, float value)
{
    if (is_f16)
        ((uint16_t *)y)[i] = pe_f16_round(value);
    else
        ((float *)y)[i] = value;
}

/* a * b + c, rounded once. */
#ifdef __riscv_zfh
static inline uint16_t pe_fma16(uint16_t a, uint16_t b, uint16_t c)
{
    const _Float16 x = pe_f16_from_bits(a), y = pe_f16_from_bits(b), z = pe_f16_from_bits(c);
#ifdef __clang__
    return pe_f16_bits(__builtin_elementwise_fma(x, y, z));
#else
    return pe_f16_bits(__builtin_fmaf16(x, y, z));
#endif
}
#else
uint16_t pe_fma16(uint16_t a, uint16_t b, uint16_t c);
#endif

/* One product of a sum in float16, the `products`-th: *run takes it, and goes into *sum when it has PE_FAST16_RUN. */
static inline void pe_fast16_step(uint16_t a, uint16_t b, size_t products, uint16_t *run, float *sum)
{
    *run = pe_fma16(a, b, *run);
    if (products % PE_FAST16_RUN == 0) {
        *sum += pe_f16_widen(*run);
        *run = 0;
    }
}
#endif
