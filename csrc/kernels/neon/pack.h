/* Weights in the order in which tiles read them: rows, one an output channel, become columns. */
#ifndef PE_NEON_PACK_H
#define PE_NEON_PACK_H
#include "kernels/neon/neon.h"

/* to[k * width + n] = from[n * stride + k], for n rows of k elements; other columns are left alone. */
static inline void pe_neon_pack_f32(float *to, size_t width, const float *from, size_t stride, size_t n, size_t k)
{
    for (; n >= 4; n -= 4, from += 4 * stride, to += 4) {
        const float *rows = from;
        float *at = to;
        size_t left = k;
        for (; left >= 4; left -= 4, rows += 4, at += 4 * width) {
            const float32x4_t r0 = vld1q_f32(rows), r1 = vld1q_f32(rows + stride);
            const float32x4_t r2 = vld1q_f32(rows + 2 * stride), r3 = vld1q_f32(rows + 3 * stride);
            const float32x4_t a = vzip1q_f32(r0, r2), b = vzip2q_f32(r0, r2);
            const float32x4_t c = vzip1q_f32(r1, r3), d = vzip2q_f32(r1, r3);
            vst1q_f32(at, vzip1q_f32(a, c));
            vst1q_f32(at + width, vzip2q_f32(a, c));
            vst1q_f32(at + 2 * width, vzip1q_f32(b, d));
            vst1q_f32(at + 3 * width, vzip2q_f32(b, d));
        }
        for (; left; left--, rows++, at += width)
            for (size_t i = 0; i < 4; i++)
                at[i] = rows[i * stride];
    }
    for (; n; n--, from += stride, to++)
        for (size_t i = 0; i < k; i++)
            to[i * width] = from[i];
}

/* The same of float16. */
static inline void pe_neon_pack_f16(uint16_t *to, size_t width, const uint16_t *from, size_t stride, size_t n, size_t k)
{
    for (; n >= 8; n -= 8, from += 8 * stride, to += 8) {
        const uint16_t *rows = from;
        uint16_t *at = to;
        size_t left = k;
        for (; left >= 8; left -= 8, rows += 8, at += 8 * width) {
            uint16x8_t r[8], s[8];
            PE_FOR (i, 8)
                r[i] = vld1q_u16(rows + (size_t)i * stride);
            for (int round = 0; round < 3; round++) { /* each brings rows i and i + 4 together */
                PE_FOR (i, 4) {
                    s[2 * i] = vzip1q_u16(r[i], r[i + 4]);
                    s[2 * i + 1] = vzip2q_u16(r[i], r[i + 4]);
                }
                PE_FOR (i, 8)
                    r[i] = s[i];
            }
            PE_FOR (i, 8)
                vst1q_u16(at + (size_t)i * width, r[i]);
        }
        for (; left; left--, rows++, at += width)
            for (size_t i = 0; i < 8; i++)
                at[i] = rows[i * stride];
    }
    for (; n; n--, from += stride, to++)
        for (size_t i = 0; i < k; i++)
            to[i * width] = from[i];
}
#endif
