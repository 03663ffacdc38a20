#include "kernels/zvfh/zvfh.h"

/* Contract: kernels.h, pe_gemm_acc_f16_fn. As rvv/gemm_acc_f32.c, with products as in gemm_f16.c. */

static vfloat32m4_t start(const pe_acc_geometry *g, const float *c, size_t vl)
{
    return g->fresh ? __riscv_vfmv_v_f_f32m4(0, vl) : __riscv_vle32_v_f32m4(c, vl);
}

/* a_m, a_k: steps of a. half: a and b are float16, as in most gradients. */
static inline __attribute__((always_inline)) void tile_4(const pe_acc_geometry *g, size_t vl, size_t a_m, size_t a_k,
                                                         bool half, const void *a, size_t a_at, const void *b,
                                                         size_t b_at, float *c)
{
    const bool a_is_f16 = half || g->a_is_f16, b_is_f16 = half || g->b_is_f16;
    float *c0 = c, *c1 = c0 + g->c_m, *c2 = c1 + g->c_m, *c3 = c2 + g->c_m;
    vfloat32m4_t s0 = start(g, c0, vl), s1 = start(g, c1, vl), s2 = start(g, c2, vl), s3 = start(g, c3, vl);
#pragma GCC unroll 4
    for (size_t k = 0; k < g->k; k++, a_at += a_k, b_at += g->b_k) {
        if (half) {
            const _Float16 *x = (const _Float16 *)a + a_at;
            const vfloat16m2_t w = __riscv_vle16_v_f16m2((const _Float16 *)b + b_at, vl);
            s0 = __riscv_vfwmacc_vf_f32m4(s0, x[0], w, vl);
            s1 = __riscv_vfwmacc_vf_f32m4(s1, x[a_m], w, vl);
            s2 = __riscv_vfwmacc_vf_f32m4(s2, x[2 * a_m], w, vl);
            s3 = __riscv_vfwmacc_vf_f32m4(s3, x[3 * a_m], w, vl);
        } else {
            const vfloat32m4_t w = pe_zvfh_load_f32(b, b_at, 1, b_is_f16, vl);
            s0 = __riscv_vfmacc_vf_f32m4(s0, pe_zvfh_float_at(a, a_at, a_is_f16), w, vl);
            s1 = __riscv_vfmacc_vf_f32m4(s1, pe_zvfh_float_at(a, a_at + a_m, a_is_f16), w, vl);
            s2 = __riscv_vfmacc_vf_f32m4(s2, pe_zvfh_float_at(a, a_at + 2 * a_m, a_is_f16), w, vl);
            s3 = __riscv_vfmacc_vf_f32m4(s3, pe_zvfh_float_at(a, a_at + 3 * a_m, a_is_f16), w, vl);
        }
    }
    __riscv_vse32_v_f32m4(c0, s0, vl);
    __riscv_vse32_v_f32m4(c1, s1, vl);
    __riscv_vse32_v_f32m4(c2, s2, vl);
    __riscv_vse32_v_f32m4(c3, s3, vl);
}

static void tile_1(const pe_acc_geometry *g, size_t vl, const void *a, size_t a_at, const void *b, size_t b_at,
                   float *c)
{
    vfloat32m4_t sum = start(g, c, vl);
    for (size_t k = g->k; k; k--, a_at += g->a_k, b_at += g->b_k)
        sum = __riscv_vfmacc_vf_f32m4(sum, pe_zvfh_float_at(a, a_at, g->a_is_f16),
                                      pe_zvfh_load_f32(b, b_at, 1, g->b_is_f16, vl), vl);
    __riscv_vse32_v_f32m4(c, sum, vl);
}

void pe_gemm_acc_f16__zvfh_4x1(const pe_acc_geometry *g, const void *a, const void *b, float *c)
{
    const bool half = g->a_is_f16 && g->b_is_f16;
    for (size_t vl, j = 0; j < g->n; j += vl) {
        vl = __riscv_vsetvl_e32m4(g->n - j);
        size_t i = 0;
        for (; i + 4 <= g->m; i += 4) {
            float *const to = c + i * g->c_m + j;
            if (half && g->a_m == 1)
                tile_4(g, vl, 1, g->a_k, true, a, i, b, j, to);
            else if (half && g->a_k == 1)
                tile_4(g, vl, g->a_m, 1, true, a, i * g->a_m, b, j, to);
            else
                tile_4(g, vl, g->a_m, g->a_k, false, a, i * g->a_m, b, j, to);
        }
        for (; i < g->m; i++)
            tile_1(g, vl, a, i * g->a_m, b, j, c + i * g->c_m + j);
    }
}
