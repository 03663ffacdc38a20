#include "kernels/neon/gemm_f16.h"

#include "kernels/f16.h"
#include "kernels/neon/neon.h"

/* fast16 by FEAT_FP16: float16 sums of each PE_FAST16_RUN products, added to float ones. Eight rows: gemm_fast16.S. */

enum { NR = 16 };

PE_INLINE void tile(size_t k, const float16_t *x, const float16_t *w, size_t block, const float *bias, float *sums,
                    size_t stride, const int M, const int BLOCKS)
{
    for (bool first = true; k; first = false) {
        float16x8_t sum[4][2 * PE_PANEL_BLOCKS];
        PE_FOR (m, M)
            PE_FOR (v, 2 * BLOCKS)
                sum[m][v] = vdupq_n_f16(0);
        size_t n = k < PE_FAST16_RUN ? k : PE_FAST16_RUN;
        k -= n;
        for (; n; n -= 8, x += PE_PANEL_ROWS * 8, w += 8 * NR) {
            float16x8_t a[4];
            PE_FOR (m, M)
                a[m] = vld1q_f16(x + 8 * m);
#define STEP(i)                                                                    \
    PE_FOR (b, BLOCKS) {                                                           \
        const float16_t *from = w + (size_t)b * (block / 2) + NR * i;              \
        const float16x8_t low = vld1q_f16(from), high = vld1q_f16(from + 8);       \
        PE_FOR (m, M) {                                                            \
            sum[m][2 * b] = vfmaq_laneq_f16(sum[m][2 * b], low, a[m], i);          \
            sum[m][2 * b + 1] = vfmaq_laneq_f16(sum[m][2 * b + 1], high, a[m], i); \
        }                                                                          \
    }
            STEP(0)
            STEP(1)
            STEP(2)
            STEP(3)
            STEP(4)
            STEP(5)
            STEP(6)
            STEP(7)
#undef STEP
        }
        PE_FOR (m, M)
            PE_FOR (v, 2 * BLOCKS) {
                float *to = (float *)((uint8_t *)sums + (size_t)m * stride) + 8 * v;
                const float *from = first ? bias + 8 * v : to;
                vst1q_f32(to, vaddq_f32(vld1q_f32(from), vcvt_f32_f16(vget_low_f16(sum[m][v]))));
                vst1q_f32(to + 4, vaddq_f32(vld1q_f32(from + 4), vcvt_high_f32_f16(sum[m][v])));
            }
    }
}

PE_PANEL_TILES

pe_gemm_panel_fn pe_gemm_fast16__fp16_8x16;

static const pe_gemm_panels panels = {.lanes = 8, .nr = NR, .eight = pe_gemm_fast16__fp16_8x16, PE_PANEL_TILE_MEMBERS};

static void pack(const pe_call *c, void *packed)
{
    pe_neon_panels_pack(c, &panels, packed);
}

PE_PANEL_LAYERS(pe_f16_mode(c) == PE_ROUND_FAST16, fp16)
