#include "kernels/rvv/rvv.h"

/* Contract: kernels.h, pe_gemm_acc_f32_fn. Columns of b and c lie across the vectors; four rows of a share what is read of b.
 * One of a's steps is 1 in every gradient: then rows, or products, are read at constant distances. */

static vfloat32m4_t start(const pe_acc_geometry *g, const float *c, size_t vl)
{
    return g->fresh ? __riscv_vfmv_v_f_f32m4(0, vl) : __riscv_vle32_v_f32m4(c, vl);
}

static inline __attribute__((always_inline)) void tile_4(const pe_acc_geometry *g, size_t vl, size_t a_m, size_t a_k,
                                                         const float *a, const float *b, float *c)
{
    const float *a0 = a, *a1 = a0 + a_m, *a2 = a1 + a_m, *a3 = a2 + a_m;
    float *c0 = c, *c1 = c0 + g->c_m, *c2 = c1 + g->c_m, *c3 = c2 + g->c_m;
    vfloat32m4_t s0 = start(g, c0, vl), s1 = start(g, c1, vl), s2 = start(g, c2, vl), s3 = start(g, c3, vl);
#pragma GCC unroll 4
    for (size_t k = 0; k < g->k; k++, b += g->b_k) {
        const vfloat32m4_t w = __riscv_vle32_v_f32m4(b, vl);
        s0 = __riscv_vfmacc_vf_f32m4(s0, a0[k * a_k], w, vl);
        s1 = __riscv_vfmacc_vf_f32m4(s1, a1[k * a_k], w, vl);
        s2 = __riscv_vfmacc_vf_f32m4(s2, a2[k * a_k], w, vl);
        s3 = __riscv_vfmacc_vf_f32m4(s3, a3[k * a_k], w, vl);
    }
    __riscv_vse32_v_f32m4(c0, s0, vl);
    __riscv_vse32_v_f32m4(c1, s1, vl);
    __riscv_vse32_v_f32m4(c2, s2, vl);
    __riscv_vse32_v_f32m4(c3, s3, vl);
}

static void tile_1(const pe_acc_geometry *g, size_t vl, const float *a, const float *b, float *c)
{
    vfloat32m4_t sum = start(g, c, vl);
    for (size_t k = g->k; k; k--, a += g->a_k, b += g->b_k)
        sum = __riscv_vfmacc_vf_f32m4(sum, *a, __riscv_vle32_v_f32m4(b, vl), vl);
    __riscv_vse32_v_f32m4(c, sum, vl);
}

void pe_gemm_acc_f32__rvv_4x1(const pe_acc_geometry *g, const float *a, const float *b, float *c)
{
    for (size_t vl, j = 0; j < g->n; j += vl) {
        vl = __riscv_vsetvl_e32m4(g->n - j);
        const float *rows = a;
        float *to = c + j;
        size_t m = g->m;
        for (; m >= 4; m -= 4, rows += 4 * g->a_m, to += 4 * g->c_m)
            if (g->a_m == 1)
                tile_4(g, vl, 1, g->a_k, rows, b + j, to);
            else if (g->a_k == 1)
                tile_4(g, vl, g->a_m, 1, rows, b + j, to);
            else
                tile_4(g, vl, g->a_m, g->a_k, rows, b + j, to);
        for (; m; m--, rows += g->a_m, to += g->c_m)
            tile_1(g, vl, rows, b + j, to);
    }
}
