#include "kernels/neon/depthwise.h"

/* float32: each lane takes its fused products tap by tap. */

PE_INLINE void tile(const pe_neon_dw_job *j, const uint8_t *x, uint8_t *y, const int MR)
{
    const float *bias = j->constants, *w = j->weights;
    float32x4_t sum[PE_NEON_DW_PIXELS][4];
    PE_FOR (p, MR)
        PE_FOR (v, 4)
            sum[p][v] = vld1q_f32(bias + 4 * v);
    for (size_t t = 0; t < j->taps; t++, w += PE_NEON_LANES) {
        const uint8_t *at = x + j->offset[t];
        PE_FOR (p, MR) {
            const float *from = (const void *)(at + (size_t)p * j->pixel);
            PE_FOR (v, 4)
                sum[p][v] = vfmaq_f32(sum[p][v], vld1q_f32(from + 4 * v), vld1q_f32(w + 4 * v));
        }
    }
    PE_FOR (v, 4) {
        const size_t first = 4 * (size_t)v;
        if (j->lanes > first)
            PE_FOR (p, MR)
                pe_neon_store_f32((float *)(void *)(y + (size_t)p * j->stride) + first,
                                  pe_neon_clip(sum[p][v], j->min, j->max), j->lanes - first < 4 ? j->lanes - first : 4);
    }
}

#define ROW(MR) PE_NEON_DW_ROW(row_##MR, MR, tile, MR)
ROW(1)
ROW(2)
ROW(3)
ROW(4)

static const pe_neon_dw_tiles tiles = {{NULL, row_1, row_2, row_3, row_4}};

static void pack(const pe_call *c, void *packed)
{
    pe_neon_dw_pack(c, &tiles, packed);
}

const pe_layer pe_layer_depthwise_f32__neon = {PE_OP_DEPTHWISE_F32, "depthwise_f32__neon", pe_neon_dw_takes, pack,
                                               pe_neon_dw_run};
