#include "kernels/neon/conv2d.h"

/* int8 without sdot. Two neighbours of k are multiplied by two weights of each of four channels; two such products are added
 * as int16 before they go to the sums: 3 instructions for 16 products. That is exact if no weight is -128, which converters
 * do not write. Tiles for weights with -128 add each product to the sums. */

#define WIDTH 16 /* channels */

PE_INLINE int8x16_t pair(int8x8_t a, const int i)
{
    const int16x4_t pairs = vreinterpret_s16_s8(a);
    return vreinterpretq_s8_s16(i == 0   ? vdupq_lane_s16(pairs, 0)
                                : i == 1 ? vdupq_lane_s16(pairs, 1)
                                : i == 2 ? vdupq_lane_s16(pairs, 2)
                                         : vdupq_lane_s16(pairs, 3));
}

/* Four elements of k: pairs i and i + 1 of a. w: their weights. */
PE_INLINE void four(int32x4_t sum[][4], const int8x8_t *a, const int8_t *w, const int i, const int MR,
                    const bool narrow)
{
    const int8x16_t w00 = vld1q_s8(w), w01 = vld1q_s8(w + 16), w10 = vld1q_s8(w + 32), w11 = vld1q_s8(w + 48);
    PE_FOR (p, MR) {
        const int8x16_t a0 = pair(a[p], i), a1 = pair(a[p], i + 1);
        int16x8_t v0 = vmull_s8(vget_low_s8(w00), vget_low_s8(a0)), v1 = vmull_high_s8(w00, a0);
        int16x8_t v2 = vmull_s8(vget_low_s8(w01), vget_low_s8(a0)), v3 = vmull_high_s8(w01, a0);
        if (narrow) {
            v0 = vmlal_s8(v0, vget_low_s8(w10), vget_low_s8(a1));
            v1 = vmlal_high_s8(v1, w10, a1);
            v2 = vmlal_s8(v2, vget_low_s8(w11), vget_low_s8(a1));
            v3 = vmlal_high_s8(v3, w11, a1);
        } else {
            sum[p][0] = vpadalq_s16(sum[p][0], vmull_s8(vget_low_s8(w10), vget_low_s8(a1)));
            sum[p][1] = vpadalq_s16(sum[p][1], vmull_high_s8(w10, a1));
            sum[p][2] = vpadalq_s16(sum[p][2], vmull_s8(vget_low_s8(w11), vget_low_s8(a1)));
            sum[p][3] = vpadalq_s16(sum[p][3], vmull_high_s8(w11, a1));
        }
        sum[p][0] = vpadalq_s16(sum[p][0], v0);
        sum[p][1] = vpadalq_s16(sum[p][1], v1);
        sum[p][2] = vpadalq_s16(sum[p][2], v2);
        sum[p][3] = vpadalq_s16(sum[p][3], v3);
    }
}

PE_INLINE void tile(const pe_neon_conv_job *j, const uint8_t *x, size_t step, int8_t *y, const int MR,
                    const bool narrow)
{
    const pe_neon_rq *q = j->constants;
    const int8_t *w = j->weights;
    int32x4_t sum[4][4];
    PE_FOR (p, MR)
        PE_FOR (v, 4)
            sum[p][v] = vld1q_s32(q->bias + 4 * v);
    for (size_t taps = j->taps; taps; taps--, x += j->row) {
        const int8_t *at = (const int8_t *)x;
        int8x8_t a[4];
        size_t k = j->elements;
        for (; k >= 8; k -= 8, at += 8, w += 8 * WIDTH) {
            PE_FOR (p, MR)
                a[p] = vld1_s8(at + (size_t)p * step);
            four(sum, a, w, 0, MR, narrow);
            four(sum, a, w + 4 * WIDTH, 2, MR, narrow);
        }
        if (k) {
            PE_FOR (p, MR) {
                int32_t bytes;
                __builtin_memcpy(&bytes, at + (size_t)p * step, 4);
                a[p] = vreinterpret_s8_s32(vdup_n_s32(bytes));
            }
            four(sum, a, w, 0, MR, narrow);
            w += 4 * WIDTH;
        }
    }
    pe_neon_finish(sum, q, j->form, &j->out, y, j->stride, j->channels, MR, 4);
}

#define ROWS(MR)                                         \
    PE_NEON_ROW(narrow_##MR, int8_t, MR, tile, MR, true) \
    PE_NEON_ROW(wide_##MR, int8_t, MR, tile, MR, false)
ROWS(1)
ROWS(2)
ROWS(3)
ROWS(4)

static const pe_neon_tiles narrow = {
    .element = 1, .kr = 2, .pad = 4, .reach = 4, .nr = WIDTH, .row = {NULL, narrow_1, narrow_2, narrow_3, narrow_4}};
static const pe_neon_tiles wide = {
    .element = 1, .kr = 2, .pad = 4, .reach = 4, .nr = WIDTH, .row = {NULL, wide_1, wide_2, wide_3, wide_4}};

/* The size is the same for both. */
static bool takes(const pe_call *c, pe_layer_bytes *bytes)
{
    return pe_neon_conv_takes(c, &narrow, bytes);
}

static void pack(const pe_call *c, void *packed)
{
    pe_neon_conv_pack(c, pe_neon_is_narrow(c->data[1], c->tensor[1]->bytes) ? &narrow : &wide, packed);
}

const pe_layer pe_layer_conv2d_s8__neon = {PE_OP_CONV2D_S8, "conv2d_s8__neon", takes, pack, pe_neon_conv_run};
const pe_layer pe_layer_linear_s8__neon = {PE_OP_LINEAR_S8, "linear_s8__neon", takes, pack, pe_neon_conv_run};
