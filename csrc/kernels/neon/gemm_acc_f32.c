#include "kernels/neon/gemm_acc.h"

/* Contract: kernels.h, pe_gemm_acc_f32_fn. */

PE_INLINE void tile(const pe_acc_geometry *g, const pe_acc_tile *t, const int M, const int V, const bool PART,
                    const bool BY_K)
{
    pe_acc_tile_f32(g, t, M, V, PART, BY_K, false, false);
}

PE_ACC_TILES(by_k, tile, true)
PE_ACC_TILES(by_m, tile, false)

void pe_gemm_acc_f32__neon_8x8(const pe_acc_geometry *g, const float *a, const float *b, float *c)
{
    pe_acc_walk(g, g->a_k == 1 ? by_k : by_m, 4, a, b, c, NULL);
}
