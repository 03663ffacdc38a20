/* What arm64 kernels share: requantization of vectors, and stores of parts of them. */
#ifndef PE_NEON_H
#define PE_NEON_H
#include <arm_neon.h>
#include <stdbool.h>

#include "ops/requantize.h"

#define PE_INLINE static inline __attribute__((always_inline))
/* for (int i = 0; i < n; i++), unrolled whole: n is a constant of the tile. */
#define PE_FOR(i, n) _Pragma("GCC unroll 16") for (int i = 0; i < (n); i++)

/* 16 channels, as pe_requantize takes them: of left and right one is 0, right is negative. */
typedef struct pe_neon_rq {
    int32_t bias[16], multiplier[16], left[16], right[16];
} pe_neon_rq;

static inline void pe_neon_rq_set(pe_neon_rq *to, size_t lane, const pe_channel *q)
{
    to->bias[lane] = q->bias;
    to->multiplier[lane] = q->a & INT32_MAX;
    to->left[lane] = q->b < 0 ? (int32_t)((0u - (uint32_t)q->b) & 31) : 0;
    to->right[lane] = q->b > 0 ? -(q->b & 31) : 0;
}

/* pe_requantize of channels 4 * v to 4 * v + 3. sqrdmulh is the first rounding: it saturates for -2^31 * -2^31 alone, and no
 * multiplier is negative. So h > -2^31, and taking 1 off where h < 0 and is shifted makes srshl's halves go away from 0. */
PE_INLINE int32x4_t pe_neon_requantize(int32x4_t sum, const pe_neon_rq *q, const int v)
{
    const int32x4_t right = vld1q_s32(q->right + 4 * v);
    const int32x4_t h = vqrdmulhq_s32(vshlq_s32(sum, vld1q_s32(q->left + 4 * v)), vld1q_s32(q->multiplier + 4 * v));
    return vrshlq_s32(vsraq_n_s32(h, vandq_s32(h, right), 31), right);
}

/* Two vectors of results to 8 int8. Saturated on the way, which changes nothing that the clamp leaves. */
PE_INLINE int8x8_t pe_neon_output(int32x4_t a, int32x4_t b, const pe_output_s8 *out)
{
    const int16x8_t y = vcombine_s16(vqmovn_s32(a), vqmovn_s32(b));
    const int8x8_t z = vqmovn_s16(vqaddq_s16(y, vdupq_n_s16((int16_t)out->zero_point)));
    return vmin_s8(vmax_s8(z, vdup_n_s8((int8_t)out->min)), vdup_n_s8((int8_t)out->max));
}

/* No weight is -128. Then two products of int8 are added as int16 without overflow: 2 * 128 * 127 < 2^15. */
static inline bool pe_neon_is_narrow(const int8_t *w, size_t n)
{
    while (n && w[n - 1] != -128)
        n--;
    return n == 0;
}

/* The first n <= 8 bytes. */
PE_INLINE void pe_neon_store(int8_t *y, int8x8_t v, size_t n)
{
    if (n == 8) {
        vst1_s8(y, v);
        return;
    }
    int8_t bytes[8];
    vst1_s8(bytes, v);
    for (size_t i = 0; i < n; i++)
        y[i] = bytes[i];
}

/* pe_clip_f32 of 4. */
PE_INLINE float32x4_t pe_neon_clip(float32x4_t x, float min, float max)
{
    const float32x4_t low = vdupq_n_f32(min), high = vdupq_n_f32(max);
    return vbslq_f32(vcleq_f32(x, low), low, vbslq_f32(vcgeq_f32(x, high), high, x));
}

/* The first n <= 4 floats. */
PE_INLINE void pe_neon_store_f32(float *y, float32x4_t v, size_t n)
{
    if (n == 4) {
        vst1q_f32(y, v);
        return;
    }
    float floats[4];
    vst1q_f32(floats, v);
    for (size_t i = 0; i < n; i++)
        y[i] = floats[i];
}
#endif
