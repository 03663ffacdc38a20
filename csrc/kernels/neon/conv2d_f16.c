#include "kernels/neon/gemm_f16.h"

#include "kernels/neon/convert.h"

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

#define TILE(name, M, BLOCKS)                                                                              \
    static void name(size_t k, const void *x, const void *w, size_t block, const float *bias, float *sums, \
                     size_t stride)                                                                        \
    {                                                                                                      \
        tile(k, x, w, block, bias, sums, stride, M, BLOCKS);                                               \
    }
TILE(four, 4, 1)
TILE(two, 2, 1)
TILE(one, 1, 1)
TILE(one_by_four, 1, PE_PANEL_BLOCKS)

pe_gemm_panel_fn pe_gemm_f16__neon_8x8;

static const pe_gemm_panels panels = {.lanes = 4,
                                      .nr = NR,
                                      .widen = true,
                                      .eight = pe_gemm_f16__neon_8x8,
                                      .four = four,
                                      .two = two,
                                      .one = one,
                                      .one_by_four = one_by_four};

static bool takes(const pe_call *c, pe_layer_bytes *bytes)
{
    return pe_f16_mode(c) == PE_ROUND_EXACT && pe_neon_panels_takes(c, &panels, bytes);
}

static void pack(const pe_call *c, void *packed)
{
    pe_neon_panels_pack(c, &panels, packed);
}

const pe_layer pe_layer_conv2d_f16__neon = {PE_OP_CONV2D_F16, "conv2d_f16__neon", takes, pack, pe_neon_panels_run};
const pe_layer pe_layer_linear_f16__neon = {PE_OP_LINEAR_F16, "linear_f16__neon", takes, pack, pe_neon_panels_run};
