#include "kernels/neon/conv2d.h"

/* float32: lanes hold different channels, and each takes its fused products in ascending k. */

PE_INLINE void tile(const pe_neon_conv_job *j, const uint8_t *x, size_t step, float *y, const int MR)
{
    const float *bias = j->constants, *w = j->weights;
    float32x4_t sum[PE_NEON_MR][2];
    PE_FOR (p, MR)
        PE_FOR (v, 2)
            sum[p][v] = vld1q_f32(bias + 4 * v);
    for (size_t taps = j->taps; taps; taps--, x += j->row) {
        const uint8_t *at = x;
        size_t k = j->elements;
        for (; k >= 4; k -= 4, at += 16, w += 32) {
            float32x4_t a[PE_NEON_MR];
            PE_FOR (p, MR)
                a[p] = vld1q_f32((const float *)(const void *)(at + (size_t)p * step));
#define STEP(i)                                                                     \
    {                                                                               \
        const float32x4_t b0 = vld1q_f32(w + 8 * i), b1 = vld1q_f32(w + 8 * i + 4); \
        PE_FOR (p, MR) {                                                            \
            sum[p][0] = vfmaq_laneq_f32(sum[p][0], b0, a[p], i);                    \
            sum[p][1] = vfmaq_laneq_f32(sum[p][1], b1, a[p], i);                    \
        }                                                                           \
    }
            STEP(0)
            STEP(1)
            STEP(2)
            STEP(3)
#undef STEP
        }
        for (; k; k--, at += 4, w += 8) {
            const float32x4_t b0 = vld1q_f32(w), b1 = vld1q_f32(w + 4);
            PE_FOR (p, MR) {
                const float32x4_t a = vld1q_dup_f32((const float *)(const void *)(at + (size_t)p * step));
                sum[p][0] = vfmaq_f32(sum[p][0], b0, a);
                sum[p][1] = vfmaq_f32(sum[p][1], b1, a);
            }
        }
    }
    PE_FOR (p, MR)
        PE_FOR (v, 2) {
            const size_t first = 4 * (size_t)v;
            if (j->channels > first) {
                const size_t rest = j->channels - first;
                pe_neon_store_f32(y + (size_t)p * j->stride + first, pe_neon_clip(sum[p][v], j->min, j->max),
                                  rest < 4 ? rest : 4);
            }
        }
}

#define ROW(MR) PE_NEON_ROW(row_##MR, float, MR, tile, MR)
ROW(1)
ROW(2)
ROW(3)
ROW(4)
ROW(5)
ROW(6)
ROW(8)

static const pe_neon_tiles tiles = {
    .element = 4,
    .kr = 1,
    .pad = 1,
    .reach = 1,
    .nr = 8,
    .row = {NULL, row_1, row_2, row_3, row_4, row_5, row_6, NULL, row_8},
};

static bool takes(const pe_call *c, pe_layer_bytes *bytes)
{
    return pe_neon_conv_takes(c, &tiles, bytes);
}

static void pack(const pe_call *c, void *packed)
{
    pe_neon_conv_pack(c, &tiles, packed);
}

const pe_layer pe_layer_conv2d_f32__neon = {PE_OP_CONV2D_F32, "conv2d_f32__neon", takes, pack, pe_neon_conv_run};
const pe_layer pe_layer_linear_f32__neon = {PE_OP_LINEAR_F32, "linear_f32__neon", takes, pack, pe_neon_conv_run};
