#include "kernels/neon/depthwise_f16.h"

#include "kernels/f16.h"

/* fast16 by FEAT_FP16: float16 sums of each PE_FAST16_RUN taps, added to float ones. */

PE_INLINE void tile(const pe_neon_dw_job *j, const uint8_t *x, uint8_t *y, const int MR, const bool X_IS_F16)
{
    const float *bias = j->constants;
    const uint16_t *w = j->weights;
    float32x4_t sum[PE_NEON_DW_PIXELS][4];
    PE_FOR (p, MR)
        PE_FOR (v, 4)
            sum[p][v] = vld1q_f32(bias + 4 * v);
    for (size_t t = 0; t < j->taps;) {
        float16x8_t run[PE_NEON_DW_PIXELS][2];
        PE_FOR (p, MR)
            PE_FOR (v, 2)
                run[p][v] = vdupq_n_f16(0);
        const size_t left = j->taps - t, end = t + (left < PE_FAST16_RUN ? left : PE_FAST16_RUN);
        for (; t < end; t++, w += PE_NEON_LANES) {
            const uint8_t *at = x + j->offset[t];
            PE_FOR (v, 2) {
                const float16x8_t weights = vreinterpretq_f16_u16(vld1q_u16(w + 8 * v));
                PE_FOR (p, MR) {
                    const uint8_t *from = at + (size_t)p * j->pixel + (X_IS_F16 ? 16 : 32) * v;
                    const float16x8_t value = vreinterpretq_f16_u16(pe_neon_load_f16(from, X_IS_F16));
                    run[p][v] = vfmaq_f16(run[p][v], value, weights);
                }
            }
        }
        PE_FOR (p, MR)
            PE_FOR (v, 2) {
                sum[p][2 * v] = vaddq_f32(sum[p][2 * v], vcvt_f32_f16(vget_low_f16(run[p][v])));
                sum[p][2 * v + 1] = vaddq_f32(sum[p][2 * v + 1], vcvt_high_f32_f16(run[p][v]));
            }
    }
    pe_neon_dw_store(j, sum, y, MR);
}

PE_NEON_DW_F16(PE_ROUND_FAST16, fp16)
