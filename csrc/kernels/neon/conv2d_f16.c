#include "kernels/neon/gemm_f16.h"

#include "kernels/neon/convert.h"
#include "kernels/neon/cpu.h"

/* Exact mode: float sums of products of x, as floats, by float16 weights, which are widened on the way. Eight rows take them
 * widened beforehand (gemm_f16.S). */

enum { NR = 8 };

PE_INLINE void tile(size_t k, const float *x, const uint16_t *w, size_t block, const float *bias, float *sums,
                    size_t stride, const int M, const int BLOCKS)
{
    float32x4_t sum[4][2 * PE_PANEL_BLOCKS];
    PE_FOR (m, M)
        PE_FOR (v, 2 * BLOCKS)
            sum[m][v] = vld1q_f32(bias + 4 * v);
    for (; k; k -= 4, x += PE_PANEL_ROWS * 4, w += 4 * NR) {
        float32x4_t a[4];
        PE_FOR (m, M)
            a[m] = vld1q_f32(x + 4 * m);
#define STEP(i)                                                                    \
    PE_FOR (b, BLOCKS) {                                                           \
        const uint16x8_t from = vld1q_u16(w + (size_t)b * (block / 2) + NR * i);   \
        const float32x4_t low = pe_neon_widen(vget_low_u16(from));                 \
        const float32x4_t high = pe_neon_widen(vget_high_u16(from));               \
        PE_FOR (m, M) {                                                            \
            sum[m][2 * b] = vfmaq_laneq_f32(sum[m][2 * b], low, a[m], i);          \
            sum[m][2 * b + 1] = vfmaq_laneq_f32(sum[m][2 * b + 1], high, a[m], i); \
        }                                                                          \
    }
        STEP(0)
        STEP(1)
        STEP(2)
        STEP(3)
#undef STEP
    }
    PE_FOR (m, M)
        PE_FOR (v, 2 * BLOCKS)
            vst1q_f32((float *)((uint8_t *)sums + (size_t)m * stride) + 4 * v, sum[m][v]);
}

PE_PANEL_TILES

/* Four vectors at a time, two k, as they are or so that ld4 gives them. */
PE_INLINE void widen_for(const uint16_t *from, size_t n, float *to, const bool BY_LD4)
{
    for (const uint16_t *end = from + n; from < end; from += 2 * NR, to += 2 * NR) {
        float32x4x4_t v;
        PE_FOR (i, 4)
            v.val[i] = pe_neon_widen(vld1_u16(from + 4 * i));
        if (BY_LD4)
            vst4q_f32(to, v);
        else
            PE_FOR (i, 4)
                vst1q_f32(to + 4 * i, v.val[i]);
    }
}

static void widen(const uint16_t *from, size_t n, float *to)
{
    widen_for(from, n, to, false);
}

static void widen_for_ld4(const uint16_t *from, size_t n, float *to)
{
    widen_for(from, n, to, true);
}

pe_gemm_panel_fn pe_gemm_f16__neon_8x8, pe_gemm_f16__neon_8x8_a53;

static const pe_gemm_panels panels = {
    .lanes = 4, .nr = NR, .widen = widen, .eight = pe_gemm_f16__neon_8x8, PE_PANEL_TILE_MEMBERS};

static void pack(const pe_call *c, void *packed)
{
    pe_gemm_panels here = panels;
    if (pe_neon_is_cortex_a53()) { /* the same bits; by LLVM's models ld4 costs this core less than ld1, others more */
        here.widen = widen_for_ld4;
        here.eight = pe_gemm_f16__neon_8x8_a53;
    }
    pe_neon_panels_pack(c, &here, packed);
}

PE_PANEL_LAYERS(pe_f16_mode(c) == PE_ROUND_EXACT, neon)
