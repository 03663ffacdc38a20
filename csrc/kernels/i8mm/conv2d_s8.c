#include "kernels/neon/conv2d.h"

/* int8 by smmla: two pixels by two channels and eight neighbours of k at once, so pixels come in pairs. A single one leaves
 * half of it unused: that is the level below's. */

/* MR pixels, an even number, by 4 * V channels. */
PE_INLINE void tile(const pe_neon_conv_job *j, const uint8_t *x, size_t step, int8_t *y, const int MR, const int V)
{
    const pe_neon_rq *q = j->constants;
    const int8_t *w = j->weights;
    int32x4_t pair[PE_NEON_MR / 2][8]; /* [pixel 0, 1][channel 0, 1] */
    PE_FOR (c, 2 * V) {
        const int32x4_t bias = vreinterpretq_s32_s64(vld1q_dup_s64((const int64_t *)(const void *)(q->bias + 2 * c)));
        PE_FOR (p, MR / 2)
            pair[p][c] = bias;
    }
#define STEP(a)                                                                      \
    PE_FOR (h, V / 2) {                                                              \
        const int8x16x4_t b = vld1q_s8_x4(w);                                        \
        w += 64;                                                                     \
        PE_FOR (c, 4)                                                                \
            PE_FOR (p, MR / 2)                                                       \
                pair[p][4 * h + c] = vmmlaq_s32(pair[p][4 * h + c], a[p], b.val[c]); \
    }
    for (size_t taps = j->taps; taps; taps--, x += j->row) {
        const int8_t *at = (const int8_t *)x;
        for (size_t k = j->elements; k; at += 16) { /* read up to a multiple of 16; what is too much meets no weight */
            int8x16_t first[PE_NEON_MR / 2], second[PE_NEON_MR / 2];
            PE_FOR (p, MR / 2) {
                const int64x2_t a = vreinterpretq_s64_s8(vld1q_s8(at + (size_t)(2 * p) * step));
                const int64x2_t b = vreinterpretq_s64_s8(vld1q_s8(at + (size_t)(2 * p + 1) * step));
                first[p] = vreinterpretq_s8_s64(vzip1q_s64(a, b));
                second[p] = vreinterpretq_s8_s64(vzip2q_s64(a, b));
            }
            STEP(first)
            if (k == 8)
                break;
            STEP(second)
            k -= 16;
        }
    }
#undef STEP
    int32x4_t sum[PE_NEON_MR][4];
    PE_FOR (p, MR / 2)
        PE_FOR (v, V) {
            const int64x2_t a = vreinterpretq_s64_s32(pair[p][2 * v]), b = vreinterpretq_s64_s32(pair[p][2 * v + 1]);
            sum[2 * p][v] = vreinterpretq_s32_s64(vzip1q_s64(a, b));
            sum[2 * p + 1][v] = vreinterpretq_s32_s64(vzip2q_s64(a, b));
        }
    pe_neon_finish(sum, q, j->form, &j->out, y, j->stride, j->channels, MR, V);
}

#define WHOLE(MR) PE_NEON_ROW(whole_##MR, int8_t, MR, tile, MR, 4)
#define HALF(MR) PE_NEON_ROW(half_##MR, int8_t, MR, tile, MR, 2)
WHOLE(2)
WHOLE(4)
HALF(2)
HALF(4)
HALF(6)
HALF(8)

static const pe_neon_tiles tiles = {
    .element = 1,
    .kr = 8,
    .pad = 8,
    .reach = 16,
    .nr = 16,
    .row = {NULL, NULL, whole_2, NULL, whole_4},
    .half = {NULL, NULL, half_2, NULL, half_4, NULL, half_6, NULL, half_8},
};

static bool takes(const pe_call *c, pe_layer_bytes *bytes)
{
    return pe_neon_conv_takes(c, &tiles, bytes);
}

static void pack(const pe_call *c, void *packed)
{
    pe_neon_conv_pack(c, &tiles, packed);
}

const pe_layer pe_layer_conv2d_s8__i8mm = {PE_OP_CONV2D_S8, "conv2d_s8__i8mm", takes, pack, pe_neon_conv_run};
const pe_layer pe_layer_linear_s8__i8mm = {PE_OP_LINEAR_S8, "linear_s8__i8mm", takes, pack, pe_neon_conv_run};
