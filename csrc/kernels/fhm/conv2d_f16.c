#include "kernels/neon/gemm_f16.h"

#include "kernels/neon/neon.h"

/* Exact mode of float16 x by FEAT_FHM: float16 times float16, added to a float with one rounding. The bits are those of fma
 * on the widened numbers, whose product is exact in float; x and the weights stay as they are. */

enum { NR = 8 };

PE_INLINE void tile(size_t k, const float16_t *x, const float16_t *w, size_t block, const float *bias, float *sums,
                    size_t stride, const int M, const int BLOCKS)
{
    float32x4_t sum[PE_PANEL_ROWS][2 * PE_PANEL_BLOCKS];
    PE_FOR (m, M)
        PE_FOR (v, 2 * BLOCKS)
            sum[m][v] = vld1q_f32(bias + 4 * v);
    for (; k; k -= 8, x += PE_PANEL_ROWS * 8, w += 8 * NR) {
        float16x8_t a[PE_PANEL_ROWS];
        PE_FOR (m, M)
            a[m] = vld1q_f16(x + 8 * m);
#define STEP(i)                                                                              \
    PE_FOR (b, BLOCKS) {                                                                     \
        const float16x8_t weights = vld1q_f16(w + (size_t)b * (block / 2) + NR * i);         \
        PE_FOR (m, M) {                                                                      \
            sum[m][2 * b] = vfmlalq_laneq_low_f16(sum[m][2 * b], weights, a[m], i);          \
            sum[m][2 * b + 1] = vfmlalq_laneq_high_f16(sum[m][2 * b + 1], weights, a[m], i); \
        }                                                                                    \
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
        PE_FOR (v, 2 * BLOCKS)
            vst1q_f32((float *)((uint8_t *)sums + (size_t)m * stride) + 4 * v, sum[m][v]);
}

pe_gemm_panel_fn pe_gemm_f16__fhm_8x8;
void pe_gemm_f16__fhm_8x8(size_t k, const void *x, const void *w, size_t block, const float *bias, float *sums,
                          size_t stride)
{
    tile(k, x, w, block, bias, sums, stride, PE_PANEL_ROWS, 1);
}

PE_PANEL_TILES

static const pe_gemm_panels panels = {.lanes = 8, .nr = NR, .eight = pe_gemm_f16__fhm_8x8, PE_PANEL_TILE_MEMBERS};

static void pack(const pe_call *c, void *packed)
{
    pe_neon_panels_pack(c, &panels, packed);
}

PE_PANEL_LAYERS(pe_f16_mode(c) == PE_ROUND_EXACT && c->tensor[0]->dtype == PE_F16, fhm)
