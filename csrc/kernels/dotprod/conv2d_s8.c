#include "kernels/neon/conv2d.h"

/* int8 by sdot: each lane of a sum takes four neighbours of k. */

PE_INLINE void tile(const pe_neon_conv_job *j, const int8_t *x, size_t step, int8_t *y, const int MR)
{
    /* One pixel has too few sums to hide the latency of sdot: it gets four of each channel. */
    enum { SETS = 4 };
    const pe_neon_rq *q = j->constants;
    const int8_t *w = j->weights;
    int32x4_t sum[PE_NEON_MR][2], more[SETS][2];
    PE_FOR (v, 2) {
        PE_FOR (p, MR)
            sum[p][v] = vld1q_s32(q->bias + 4 * v);
        PE_FOR (i, SETS)
            more[i][v] = vdupq_n_s32(0);
    }
    for (size_t taps = j->taps; taps; taps--, x += j->row) {
        const int8_t *at = x;
        size_t k = j->elements;
        for (; k >= 16; k -= 16, at += 16, w += 128) {
            int8x16_t a[PE_NEON_MR];
            PE_FOR (p, MR)
                a[p] = vld1q_s8(at + (size_t)p * step);
#define STEP(i)                                                                    \
    {                                                                              \
        const int8x16_t b0 = vld1q_s8(w + 32 * i), b1 = vld1q_s8(w + 32 * i + 16); \
        if (MR == 1) {                                                             \
            more[i][0] = vdotq_laneq_s32(more[i][0], b0, a[0], i);                 \
            more[i][1] = vdotq_laneq_s32(more[i][1], b1, a[0], i);                 \
        } else {                                                                   \
            PE_FOR (p, MR) {                                                       \
                sum[p][0] = vdotq_laneq_s32(sum[p][0], b0, a[p], i);               \
                sum[p][1] = vdotq_laneq_s32(sum[p][1], b1, a[p], i);               \
            }                                                                      \
        }                                                                          \
    }
            STEP(0)
            STEP(1)
            STEP(2)
            STEP(3)
#undef STEP
        }
        for (; k; k -= 4, at += 4, w += 32) {
            const int8x16_t b0 = vld1q_s8(w), b1 = vld1q_s8(w + 16);
            PE_FOR (p, MR) {
                int32_t four;
                __builtin_memcpy(&four, at + (size_t)p * step, 4);
                const int8x16_t a = vreinterpretq_s8_s32(vdupq_n_s32(four));
                sum[p][0] = vdotq_s32(sum[p][0], b0, a);
                sum[p][1] = vdotq_s32(sum[p][1], b1, a);
            }
        }
    }
    if (MR == 1)
        PE_FOR (v, 2)
            sum[0][v] =
                vaddq_s32(vaddq_s32(sum[0][v], vaddq_s32(more[0][v], more[1][v])), vaddq_s32(more[2][v], more[3][v]));
    PE_FOR (p, MR)
        pe_neon_store(y + (size_t)p * j->stride,
                      pe_neon_output(pe_neon_requantize(sum[p][0], q, 0), pe_neon_requantize(sum[p][1], q, 1), &j->out),
                      j->channels);
}

#define TILE(MR)                                                                                \
    static void tile_##MR(const pe_neon_conv_job *j, const uint8_t *x, size_t step, uint8_t *y) \
    {                                                                                           \
        tile(j, (const int8_t *)x, step, (int8_t *)y, MR);                                      \
    }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)
TILE(8)

static const pe_neon_tiles tiles = {
    .element = 1,
    .kr = 4,
    .pad = 4,
    .nr = 8,
    .tile = {NULL, tile_1, tile_2, tile_3, tile_4, tile_5, tile_6, NULL, tile_8},
};

static bool takes(const pe_call *c, pe_layer_bytes *bytes)
{
    return pe_neon_conv_takes(c, &tiles, bytes);
}

static void pack(const pe_call *c, void *packed)
{
    pe_neon_conv_pack(c, &tiles, packed);
}

const pe_layer pe_layer_conv2d_s8__dotprod = {PE_OP_CONV2D_S8, "conv2d_s8__dotprod", takes, pack, pe_neon_conv_run};
const pe_layer pe_layer_linear_s8__dotprod = {PE_OP_LINEAR_S8, "linear_s8__dotprod", takes, pack, pe_neon_conv_run};
