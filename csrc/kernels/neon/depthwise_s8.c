#include "kernels/neon/depthwise.h"

/* int8: two taps' products are added as int16 where no weight is -128, as in conv2d_s8.c. */

PE_INLINE void add(int32x4_t sum[4], int16x8_t low, int16x8_t high)
{
    sum[0] = vaddw_s16(sum[0], vget_low_s16(low));
    sum[1] = vaddw_high_s16(sum[1], low);
    sum[2] = vaddw_s16(sum[2], vget_low_s16(high));
    sum[3] = vaddw_high_s16(sum[3], high);
}

PE_INLINE void tile(const pe_neon_dw_job *j, const uint8_t *x, int8_t *y, size_t lanes, const int PIXELS,
                    const bool narrow)
{
    const pe_neon_rq *q = j->constants;
    const int8_t *w = j->weights;
    int32x4_t sum[PE_NEON_DW_PIXELS][4];
    PE_FOR (p, PIXELS)
        PE_FOR (v, 4)
            sum[p][v] = vld1q_s32(q->bias + 4 * v);
    for (size_t t = 0; t < j->taps; t += 2, w += 2 * PE_NEON_LANES) {
        const int8_t *at0 = (const int8_t *)x + j->offset[t], *at1 = (const int8_t *)x + j->offset[t + 1];
        const int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + PE_NEON_LANES);
        PE_FOR (p, PIXELS) {
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
    pe_neon_finish(sum, q, PE_NEON_ANY, &j->out, y, j->stride, lanes, PIXELS, 4);
}

#define TILE(name, PIXELS, narrow)                                                        \
    static void name(const pe_neon_dw_job *j, const uint8_t *x, uint8_t *y, size_t lanes) \
    {                                                                                     \
        tile(j, x, (int8_t *)y, lanes, PIXELS, narrow);                                   \
    }
TILE(narrow_1, 1, true)
TILE(narrow_4, PE_NEON_DW_PIXELS, true)
TILE(wide_1, 1, false)
TILE(wide_4, PE_NEON_DW_PIXELS, false)

static const pe_neon_dw_tiles narrow = {.element = 1, .even = 1, .one = narrow_1, .four = narrow_4};
static const pe_neon_dw_tiles wide = {.element = 1, .even = 1, .one = wide_1, .four = wide_4};

/* The size is the same for both. */
static bool takes(const pe_call *c, pe_layer_bytes *bytes)
{
    return pe_neon_dw_takes(c, &narrow, bytes);
}

static void pack(const pe_call *c, void *packed)
{
    pe_neon_dw_pack(c, pe_neon_is_narrow(c->data[1], c->tensor[1]->bytes) ? &narrow : &wide, packed);
}

const pe_layer pe_layer_depthwise_s8__neon = {PE_OP_DEPTHWISE_S8, "depthwise_s8__neon", takes, pack, pe_neon_dw_run};
