/* Vectors of float16 and float: loads, stores and clips of either type. Conversions are those of Armv8.0. */
#ifndef PE_NEON_CONVERT_H
#define PE_NEON_CONVERT_H
#include "kernels/neon/neon.h"

/* float16 as bits, so that nothing computes with it by chance. */
PE_INLINE float32x4_t pe_neon_widen(uint16x4_t x)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(x));
}

PE_INLINE uint16x4_t pe_neon_narrow(float32x4_t x)
{
    return vreinterpret_u16_f16(vcvt_f16_f32(x));
}

PE_INLINE uint16x8_t pe_neon_narrow_8(float32x4_t low, float32x4_t high)
{
    return vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(low), high));
}

/* 8 elements as float16. */
PE_INLINE uint16x8_t pe_neon_load_f16(const void *x, const bool is_f16)
{
    return is_f16 ? vld1q_u16(x) : pe_neon_narrow_8(vld1q_f32(x), vld1q_f32((const float *)x + 4));
}

/* 4 elements as float. */
PE_INLINE float32x4_t pe_neon_load_f32(const void *x, const bool is_f16)
{
    return is_f16 ? pe_neon_widen(vld1_u16(x)) : vld1q_f32(x);
}

/* To 8 elements of either type. */
PE_INLINE void pe_neon_store_8(void *y, float32x4_t low, float32x4_t high, const bool is_f16)
{
    if (is_f16) {
        vst1q_u16(y, pe_neon_narrow_8(low, high));
        return;
    }
    vst1q_f32(y, low);
    vst1q_f32((float *)y + 4, high);
}

/* The first n <= 4 of v to elements of either type. */
PE_INLINE void pe_neon_store_either(void *y, float32x4_t v, const bool is_f16, size_t n)
{
    if (!is_f16) {
        pe_neon_store_f32(y, v, n);
        return;
    }
    const uint16x4_t half = pe_neon_narrow(v);
    if (n == 4) {
        vst1_u16(y, half);
        return;
    }
    uint16_t elements[4];
    vst1_u16(elements, half);
    for (size_t i = 0; i < n; i++)
        ((uint16_t *)y)[i] = elements[i];
}
#endif
