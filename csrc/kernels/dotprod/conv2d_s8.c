#include "kernels/neon/conv2d.h"

/* int8 by sdot: each lane of a sum takes four neighbours of k. */

/* MR pixels by 4 * V channels. */
PE_INLINE void tile(const pe_neon_conv_job *j, const uint8_t *x, size_t step, int8_t *y, const int MR, const int V)
{
    const pe_neon_rq *q = j->constants;
    const int8_t *w = j->weights;
    int32x4_t sum[PE_NEON_MR][4], more[4];
    PE_FOR (v, V) {
        PE_FOR (p, MR)
            sum[p][v] = vld1q_s32(q->bias + 4 * v);
        more[v] = vdupq_n_s32(0); /* one pixel has too few sums to hide the latency of sdot */
    }
    for (size_t taps = j->taps; taps; taps--, x += j->row) {
        const int8_t *at = (const int8_t *)x;
        int8x16_t a[PE_NEON_MR];
#define LOAD(p, MR) \
    PE_FOR (p, MR)  \
        a[p] = vld1q_s8(at + (size_t)p * step);
#define STEP(i)                                                                \
    {                                                                          \
        int8x16x4_t b = {0};                                                   \
        if (V == 4 && MR <= 4)                                                 \
            b = vld1q_s8_x4(w);                                                \
        else                                                                   \
            PE_FOR (v, V)                                                      \
                b.val[v] = vld1q_s8(w + 16 * v);                               \
        w += 16 * V;                                                           \
        PE_FOR (v, V) {                                                        \
            if (MR == 1 && i % 2)                                              \
                more[v] = vdotq_laneq_s32(more[v], b.val[v], a[0], i);         \
            else                                                               \
                PE_FOR (p, MR)                                                 \
                    sum[p][v] = vdotq_laneq_s32(sum[p][v], b.val[v], a[p], i); \
        }                                                                      \
    }
        size_t k = j->elements;
        for (; k >= 16; k -= 16, at += 16) {
            LOAD(p, MR)
            STEP(0)
            STEP(1)
            STEP(2)
            STEP(3)
        }
        if (k) { /* 4, 8 or 12; what is read beyond meets no weight */
            LOAD(p, MR)
            STEP(0)
            if (k > 4)
                STEP(1)
            if (k > 8)
                STEP(2)
        }
#undef STEP
#undef LOAD
    }
    if (MR == 1)
        PE_FOR (v, V)
            sum[0][v] = vaddq_s32(sum[0][v], more[v]);
    pe_neon_finish(sum, q, j->form, &j->out, y, j->stride, j->channels, MR, V);
}

#define WHOLE(MR) PE_NEON_ROW(whole_##MR, int8_t, MR, tile, MR, 4)
#define HALF(MR) PE_NEON_ROW(half_##MR, int8_t, MR, tile, MR, 2)
WHOLE(1)
WHOLE(2)
WHOLE(3)
WHOLE(4)
WHOLE(5)
HALF(1)
HALF(2)
HALF(3)
HALF(4)
HALF(6)
HALF(8)

static const pe_neon_tiles tiles = {
    .element = 1,
    .kr = 4,
    .pad = 4,
    .reach = 16,
    .nr = 16,
    .row = {NULL, whole_1, whole_2, whole_3, whole_4, whole_5},
    .half = {NULL, half_1, half_2, half_3, half_4, NULL, half_6, NULL, half_8},
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
