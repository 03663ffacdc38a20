#include "kernels/neon/depthwise_f16.h"

/* float16 weights, exact: each lane takes its fused products tap by tap in float. */

PE_INLINE void tile(const pe_neon_dw_job *j, const uint8_t *x, uint8_t *y, const int MR, const bool X_IS_F16)
{
    const float *bias = j->constants;
    const uint16_t *w = j->weights;
    float32x4_t sum[PE_NEON_DW_PIXELS][4];
    PE_FOR (p, MR)
        PE_FOR (v, 4)
            sum[p][v] = vld1q_f32(bias + 4 * v);
    for (size_t t = 0; t < j->taps; t++, w += PE_NEON_LANES) {
        const uint8_t *at = x + j->offset[t];
        float32x4_t weights[4];
        PE_FOR (v, 4)
            weights[v] = pe_neon_load_f32(w + 4 * v, true);
        PE_FOR (p, MR)
            PE_FOR (v, 4) {
                const uint8_t *from = at + (size_t)p * j->pixel + (X_IS_F16 ? 8 : 16) * v;
                sum[p][v] = vfmaq_f32(sum[p][v], pe_neon_load_f32(from, X_IS_F16), weights[v]);
            }
    }
    pe_neon_dw_store(j, sum, y, MR);
}

PE_NEON_DW_F16(PE_ROUND_EXACT, neon)
