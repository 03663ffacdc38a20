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

/* How short requantization may be, for all channels of a layer. */
typedef enum pe_neon_form {
    PE_NEON_ANY,
    PE_NEON_RIGHT,       /* all shift right by 1 or more */
    PE_NEON_NONNEGATIVE, /* and the clamp makes all negative results one */
    PE_NEON_UNSIGNED,    /* and what it leaves is 0 .. 255, less 128 */
} pe_neon_form;

static inline pe_neon_form pe_neon_form_of(const pe_channel *q, size_t channels, const pe_output_s8 *out)
{
    for (size_t i = 0; i < channels; i++)
        if (q[i].b <= 0 || (q[i].b & 31) == 0)
            return PE_NEON_ANY;
    if (out->min < out->zero_point)
        return PE_NEON_RIGHT;
    return out->zero_point == -128 && out->min == -128 && out->max == 127 ? PE_NEON_UNSIGNED : PE_NEON_NONNEGATIVE;
}

/* pe_requantize. sqrdmulh is the first rounding: it saturates for -2^31 * -2^31 alone, and no multiplier is negative. So
 * h > -2^31, and taking 1 off where h < 0 and is shifted makes srshl's halves go away from 0. */
PE_INLINE int32x4_t pe_neon_requantize_by(int32x4_t sum, int32x4_t multiplier, int32x4_t left, int32x4_t right,
                                          const pe_neon_form form)
{
    if (form == PE_NEON_ANY)
        sum = vshlq_s32(sum, left);
    int32x4_t h = vqrdmulhq_s32(sum, multiplier);
    if (form == PE_NEON_ANY)
        h = vsraq_n_s32(h, vandq_s32(h, right), 31);
    else if (form == PE_NEON_RIGHT)
        h = vsraq_n_s32(h, h, 31);
    return vrshlq_s32(h, right);
}

/* Of channels 4 * v to 4 * v + 3. */
PE_INLINE int32x4_t pe_neon_requantize(int32x4_t sum, const pe_neon_rq *q, const int v)
{
    return pe_neon_requantize_by(sum, vld1q_s32(q->multiplier + 4 * v), vld1q_s32(q->left + 4 * v),
                                 vld1q_s32(q->right + 4 * v), PE_NEON_ANY);
}

typedef struct pe_neon_clamp {
    int16x8_t zero_point;
    int8x16_t min, max;
} pe_neon_clamp;

PE_INLINE pe_neon_clamp pe_neon_clamp_of(const pe_output_s8 *out)
{
    return (pe_neon_clamp){vdupq_n_s16((int16_t)out->zero_point), vdupq_n_s8((int8_t)out->min),
                           vdupq_n_s8((int8_t)out->max)};
}

/* 8 or 16 results to int8. Saturated on the way, which changes nothing that the clamp leaves. */
PE_INLINE int8x8_t pe_neon_output8(const int32x4_t r[2], const pe_neon_clamp *c, const pe_neon_form form)
{
    const int16x8_t y = vqmovn_high_s32(vqmovn_s32(r[0]), r[1]);
    if (form == PE_NEON_UNSIGNED)
        return vreinterpret_s8_u8(veor_u8(vqmovun_s16(y), vdup_n_u8(128)));
    return vmin_s8(vmax_s8(vqmovn_s16(vqaddq_s16(y, c->zero_point)), vget_low_s8(c->min)), vget_low_s8(c->max));
}

PE_INLINE int8x16_t pe_neon_output16(const int32x4_t r[4], const pe_neon_clamp *c, const pe_neon_form form)
{
    const int16x8_t low = vqmovn_high_s32(vqmovn_s32(r[0]), r[1]), high = vqmovn_high_s32(vqmovn_s32(r[2]), r[3]);
    if (form == PE_NEON_UNSIGNED)
        return vreinterpretq_s8_u8(veorq_u8(vqmovun_high_s16(vqmovun_s16(low), high), vdupq_n_u8(128)));
    const int8x8_t half = vqmovn_s16(vqaddq_s16(low, c->zero_point));
    return vminq_s8(vmaxq_s8(vqmovn_high_s16(half, vqaddq_s16(high, c->zero_point)), c->min), c->max);
}

/* The first n bytes, 1 .. 16, of m vectors to y, `stride` apart. Out of line: it is what few tiles do. */
static __attribute__((noinline, unused)) void pe_neon_store_part(int8_t *y, size_t stride, const int8x16_t *v, int m,
                                                                 size_t n)
{
    static const uint8_t from[24] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,
                                     12, 13, 14, 15, 16, 16, 16, 16, 16, 16, 16, 16};
    /* Two parts that overlap, where there are as many bytes. */
    const uint8x16_t last = vld1q_u8(from + (n >= 8 ? n - 8 : n >= 4 ? n - 4 : 0));
    for (int i = 0; i < m; i++, y += stride) {
        const int8x16_t end = vqtbl1q_s8(v[i], last);
        if (n == 16) {
            vst1q_s8(y, v[i]);
        } else if (n >= 8) {
            vst1_s8(y, vget_low_s8(v[i]));
            vst1_s8(y + (n - 8), vget_low_s8(end));
        } else if (n >= 4) {
            vst1q_lane_s32((void *)y, vreinterpretq_s32_s8(v[i]), 0);
            vst1q_lane_s32((void *)(y + (n - 4)), vreinterpretq_s32_s8(end), 0);
        } else {
            vst1q_lane_s8(y, v[i], 0);
            if (n > 1)
                vst1q_lane_s8(y + 1, v[i], 1);
            if (n > 2)
                vst1q_lane_s8(y + 2, v[i], 2);
        }
    }
}

/* Sums of up to 16 channels of M pixels to y, `stride` apart; each has 4 * V of which the first n <= 4 * V are stored. */
PE_INLINE void pe_neon_finish_as(int32x4_t sum[][4], const pe_neon_rq *q, const pe_output_s8 *out, int8_t *y,
                                 size_t stride, size_t n, const int M, const int V, const pe_neon_form form)
{
    const pe_neon_clamp clamp = pe_neon_clamp_of(out);
    int32x4_t multiplier[4], left[4], right[4]; /* once: y might be anywhere */
    PE_FOR (v, V) {
        multiplier[v] = vld1q_s32(q->multiplier + 4 * v);
        left[v] = vld1q_s32(q->left + 4 * v);
        right[v] = vld1q_s32(q->right + 4 * v);
    }
    PE_FOR (p, M)
        PE_FOR (v, V)
            sum[p][v] = pe_neon_requantize_by(sum[p][v], multiplier[v], left[v], right[v], form);
    if (n == 4 * (size_t)V) {
        PE_FOR (p, M) {
            if (V == 4)
                vst1q_s8(y + (size_t)p * stride, pe_neon_output16(sum[p], &clamp, form));
            else
                vst1_s8(y + (size_t)p * stride, pe_neon_output8(sum[p], &clamp, form));
        }
        return;
    }
    int8x16_t part[8];
    PE_FOR (p, M) {
        const int8x8_t half = pe_neon_output8(sum[p], &clamp, form);
        part[p] = V == 4 ? pe_neon_output16(sum[p], &clamp, form) : vcombine_s8(half, half);
    }
    pe_neon_store_part(y, stride, part, M, n);
}

PE_INLINE void pe_neon_finish(int32x4_t sum[][4], const pe_neon_rq *q, pe_neon_form form, const pe_output_s8 *out,
                              int8_t *y, size_t stride, size_t n, const int M, const int V)
{
    switch (form) {
    case PE_NEON_UNSIGNED: pe_neon_finish_as(sum, q, out, y, stride, n, M, V, PE_NEON_UNSIGNED); break;
    case PE_NEON_NONNEGATIVE: pe_neon_finish_as(sum, q, out, y, stride, n, M, V, PE_NEON_NONNEGATIVE); break;
    case PE_NEON_RIGHT: pe_neon_finish_as(sum, q, out, y, stride, n, M, V, PE_NEON_RIGHT); break;
    default: pe_neon_finish_as(sum, q, out, y, stride, n, M, V, PE_NEON_ANY);
    }
}

/* No weight is -128. Then two products of int8 are added as int16 without overflow: 2 * 128 * 127 < 2^15. */
static inline bool pe_neon_is_narrow(const int8_t *w, size_t n)
{
    while (n && w[n - 1] != -128)
        n--;
    return n == 0;
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
