#include "kernels/neon/depthwise.h"

/* int8: two taps' products are added as int16 where no weight is -128, as in conv2d_s8.c. */

PE_INLINE void add(int32x4_t sum[4], int16x8_t low, int16x8_t high)
{
    sum[0] = vaddw_s16(sum[0], vget_low_s16(low));
    sum[1] = vaddw_high_s16(sum[1], low);
    sum[2] = vaddw_s16(sum[2], vget_low_s16(high));
    sum[3] = vaddw_high_s16(sum[3], high);
}

PE_INLINE void tile(const pe_neon_dw_job *j, const uint8_t *x, uint8_t *y, const int MR, const bool narrow)
{
    const pe_neon_rq *q = j->constants;
    const int8_t *w = j->weights, *from = (const int8_t *)x;
    const size_t *offset = j->offset;
    int32x4_t sum[PE_NEON_DW_PIXELS][4];
    PE_FOR (p, MR)
        PE_FOR (v, 4)
            sum[p][v] = vld1q_s32(q->bias + 4 * v);
    size_t taps = j->taps;
    for (; taps >= 2; taps -= 2, w += 2 * PE_NEON_LANES, offset += 2) {
        const int8_t *at0 = from + offset[0], *at1 = from + offset[1];
        const int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + PE_NEON_LANES);
        PE_FOR (p, MR) {
            const int8x16_t x0 = vld1q_s8(at0 + (size_t)p * j->pixel), x1 = vld1q_s8(at1 + (size_t)p * j->pixel);
            const int16x8_t low = vmull_s8(vget_low_s8(x0), vget_low_s8(w0)), high = vmull_high_s8(x0, w0);
            if (narrow) {
                add(sum[p], vmlal_s8(low, vget_low_s8(x1), vget_low_s8(w1)), vmlal_high_s8(high, x1, w1));
            } else {
                add(sum[p], low, high);
                add(sum[p], vmull_s8(vget_low_s8(x1), vget_low_s8(w1)), vmull_high_s8(x1, w1));
            }
        }
    }
    if (taps) {
        const int8x16_t w0 = vld1q_s8(w);
        PE_FOR (p, MR) {
            const int8x16_t x0 = vld1q_s8(from + offset[0] + (size_t)p * j->pixel);
            add(sum[p], vmull_s8(vget_low_s8(x0), vget_low_s8(w0)), vmull_high_s8(x0, w0));
        }
    }
    pe_neon_finish(sum, q, j->form, &j->out, (int8_t *)y, j->stride, j->lanes, MR, 4);
}

#define ROWS(kind, is_narrow)                       \
    PE_NEON_DW_ROW(kind##_1, 1, tile, 1, is_narrow) \
    PE_NEON_DW_ROW(kind##_2, 2, tile, 2, is_narrow) \
    PE_NEON_DW_ROW(kind##_3, 3, tile, 3, is_narrow) \
    PE_NEON_DW_ROW(kind##_4, 4, tile, 4, is_narrow) \
    static const pe_neon_dw_tiles kind = {{NULL, kind##_1, kind##_2, kind##_3, kind##_4}};
ROWS(narrow, true)
ROWS(wide, false)

static void pack(const pe_call *c, void *packed)
{
    pe_neon_dw_pack(c, pe_neon_is_narrow(c->data[1], c->tensor[1]->bytes) ? &narrow : &wide, packed);
}

const pe_layer pe_layer_depthwise_s8__neon = {PE_OP_DEPTHWISE_S8, "depthwise_s8__neon", pe_neon_dw_takes, pack,
                                              pe_neon_dw_run};
