#include "kernels/neon/conv2d.h"

/* int8 without sdot. Two neighbours of k are multiplied by two weights of each of four channels; two such products are added
 * as int16 before they go to the sums: 3 instructions for 16 products. That is exact if no weight is -128, which converters
 * do not write. Tiles for weights with -128 add each product to the sums. */

PE_INLINE int8x16_t pair(int8x8_t a, const int i)
{
    const int16x4_t pairs = vreinterpret_s16_s8(a);
    return vreinterpretq_s8_s16(i == 0   ? vdupq_lane_s16(pairs, 0)
                                : i == 1 ? vdupq_lane_s16(pairs, 1)
                                : i == 2 ? vdupq_lane_s16(pairs, 2)
                                         : vdupq_lane_s16(pairs, 3));
}

/* Four elements of k: pairs i and i + 1 of a. w: their weights, of 8 * H channels. */
PE_INLINE void four(int32x4_t sum[][4], const int8x8_t *a, const int8_t *w, const int i, const int MR, const int H,
                    const bool narrow)
{
    int8x16_t w0[2], w1[2];
    PE_FOR (h, H) {
        w0[h] = vld1q_s8(w + 16 * h);
        w1[h] = vld1q_s8(w + 16 * (H + h));
    }
    PE_FOR (p, MR) {
        const int8x16_t a0 = pair(a[p], i), a1 = pair(a[p], i + 1);
        PE_FOR (h, H) {
            int16x8_t low = vmull_s8(vget_low_s8(w0[h]), vget_low_s8(a0)), high = vmull_high_s8(w0[h], a0);
            if (narrow) {
                low = vmlal_s8(low, vget_low_s8(w1[h]), vget_low_s8(a1));
                high = vmlal_high_s8(high, w1[h], a1);
            } else {
                sum[p][2 * h] = vpadalq_s16(sum[p][2 * h], vmull_s8(vget_low_s8(w1[h]), vget_low_s8(a1)));
                sum[p][2 * h + 1] = vpadalq_s16(sum[p][2 * h + 1], vmull_high_s8(w1[h], a1));
            }
            sum[p][2 * h] = vpadalq_s16(sum[p][2 * h], low);
            sum[p][2 * h + 1] = vpadalq_s16(sum[p][2 * h + 1], high);
        }
    }
}

/* MR pixels by 8 * H channels. */
PE_INLINE void tile(const pe_neon_conv_job *j, const uint8_t *x, size_t step, int8_t *y, const int MR, const int H,
                    const bool narrow)
{
    const pe_neon_rq *q = j->constants;
    const int8_t *w = j->weights;
    int32x4_t sum[PE_NEON_MR][4];
    PE_FOR (p, MR)
        PE_FOR (v, 2 * H)
            sum[p][v] = vld1q_s32(q->bias + 4 * v);
    for (size_t taps = j->taps; taps; taps--, x += j->row) {
        const int8_t *at = (const int8_t *)x;
        int8x8_t a[PE_NEON_MR];
        size_t k = j->elements;
        for (; k >= 8; k -= 8, at += 8, w += 64 * H) {
            PE_FOR (p, MR)
                a[p] = vld1_s8(at + (size_t)p * step);
            four(sum, a, w, 0, MR, H, narrow);
            four(sum, a, w + 32 * H, 2, MR, H, narrow);
        }
        if (k) {
            PE_FOR (p, MR) {
                int32_t bytes;
                __builtin_memcpy(&bytes, at + (size_t)p * step, 4);
                a[p] = vreinterpret_s8_s32(vdup_n_s32(bytes));
            }
            four(sum, a, w, 0, MR, H, narrow);
            w += 32 * H;
        }
    }
    pe_neon_finish(sum, q, j->form, &j->out, y, j->stride, j->channels, MR, 2 * H);
}

#define ROWS(kind, is_narrow)                                                                               \
    PE_NEON_ROW(kind##_1, int8_t, 1, tile, 1, 2, is_narrow)                                                 \
    PE_NEON_ROW(kind##_2, int8_t, 2, tile, 2, 2, is_narrow)                                                 \
    PE_NEON_ROW(kind##_3, int8_t, 3, tile, 3, 2, is_narrow)                                                 \
    PE_NEON_ROW(kind##_4, int8_t, 4, tile, 4, 2, is_narrow)                                                 \
    PE_NEON_ROW(kind##_half_1, int8_t, 1, tile, 1, 1, is_narrow)                                            \
    PE_NEON_ROW(kind##_half_2, int8_t, 2, tile, 2, 1, is_narrow)                                            \
    PE_NEON_ROW(kind##_half_4, int8_t, 4, tile, 4, 1, is_narrow)                                            \
    PE_NEON_ROW(kind##_half_8, int8_t, 8, tile, 8, 1, is_narrow)                                            \
    static const pe_neon_tiles kind = {                                                                     \
        .element = 1,                                                                                       \
        .kr = 2,                                                                                            \
        .pad = 4,                                                                                           \
        .reach = 4,                                                                                         \
        .nr = 16,                                                                                           \
        .row = {NULL, kind##_1, kind##_2, kind##_3, kind##_4},                                              \
        .half = {NULL, kind##_half_1, kind##_half_2, NULL, kind##_half_4, NULL, NULL, NULL, kind##_half_8}, \
    };
ROWS(narrow, true)
ROWS(wide, false)

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
