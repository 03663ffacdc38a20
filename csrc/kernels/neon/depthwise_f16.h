/* depthwise_f16 of arm64: the results of its tiles, and the layer kernel of a mode. */
#ifndef PE_NEON_DEPTHWISE_F16_H
#define PE_NEON_DEPTHWISE_F16_H
#include "kernels/neon/convert.h"
#include "kernels/neon/depthwise.h"

/* Sums of MR pixels to y. */
PE_INLINE void pe_neon_dw_store(const pe_neon_dw_job *j, float32x4_t sum[][4], uint8_t *y, const int MR)
{
    PE_FOR (v, 4) {
        const size_t first = 4 * (size_t)v;
        if (j->lanes > first)
            PE_FOR (p, MR)
                pe_neon_store_either(y + (size_t)p * j->stride + first * (j->y_is_f16 ? 2 : 4),
                                     pe_neon_clip(sum[p][v], j->min, j->max), j->y_is_f16,
                                     j->lanes - first < 4 ? j->lanes - first : 4);
    }
}

/* The pe_layer of a level whose file has tile(job, x, y, pixels, whether x is float16). */
#define PE_NEON_DW_F16(mode, level)                                                                               \
    PE_NEON_DW_ROW(f32_1, 1, tile, 1, false)                                                                      \
    PE_NEON_DW_ROW(f32_2, 2, tile, 2, false)                                                                      \
    PE_NEON_DW_ROW(f32_3, 3, tile, 3, false)                                                                      \
    PE_NEON_DW_ROW(f32_4, 4, tile, 4, false)                                                                      \
    PE_NEON_DW_ROW(f16_1, 1, tile, 1, true)                                                                       \
    PE_NEON_DW_ROW(f16_2, 2, tile, 2, true)                                                                       \
    PE_NEON_DW_ROW(f16_3, 3, tile, 3, true)                                                                       \
    PE_NEON_DW_ROW(f16_4, 4, tile, 4, true)                                                                       \
    static const pe_neon_dw_tiles f32 = {{NULL, f32_1, f32_2, f32_3, f32_4}};                                     \
    static const pe_neon_dw_tiles f16 = {{NULL, f16_1, f16_2, f16_3, f16_4}};                                     \
    static bool takes(const pe_call *c, pe_layer_bytes *bytes)                                                    \
    {                                                                                                             \
        return ((const pe_conv2d_params *)c->params)->rounding == mode && pe_neon_dw_takes(c, bytes);             \
    }                                                                                                             \
    static void pack(const pe_call *c, void *packed)                                                              \
    {                                                                                                             \
        pe_neon_dw_pack(c, c->tensor[0]->dtype == PE_F16 ? &f16 : &f32, packed);                                  \
    }                                                                                                             \
    const pe_layer pe_layer_depthwise_f16__##level = {PE_OP_DEPTHWISE_F16, "depthwise_f16__" #level, takes, pack, \
                                                      pe_neon_dw_run};
#endif
