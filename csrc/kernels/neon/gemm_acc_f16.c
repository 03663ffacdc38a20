#include "kernels/neon/gemm_acc.h"

/* Contract: kernels.h, pe_gemm_acc_f16_fn. */

PE_INLINE void tile(const pe_acc_geometry *g, const pe_acc_tile *t, const int M, const int V, const bool PART,
                    const bool BY_K)
{
    pe_acc_tile_f32(g, t, M, V, PART, BY_K, true, true);
}

/* Of operands of two types: the first layer's x, the last one's dy. */
PE_INLINE void mixed(const pe_acc_geometry *g, const pe_acc_tile *t, const int M, const int V, const bool PART,
                     const bool BY_K)
{
    pe_acc_tile_f32(g, t, M, V, PART, BY_K, g->a_is_f16, g->b_is_f16);
}

PE_ACC_TILES(by_k, tile, true)
PE_ACC_TILES(by_m, tile, false)
PE_ACC_TILES(mixed_by_k, mixed, true)
PE_ACC_TILES(mixed_by_m, mixed, false)

void pe_gemm_acc_f16__neon_8x8(const pe_acc_geometry *g, const void *a, const void *b, float *c)
{
    if (g->a_is_f16 && g->b_is_f16)
        pe_acc_walk(g, g->a_k == 1 ? by_k : by_m, 4, a, b, c, NULL);
    else
        pe_acc_walk(g, g->a_k == 1 ? mixed_by_k : mixed_by_m, 4, a, b, c, NULL);
}
