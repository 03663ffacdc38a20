#include "kernels/rvv/rvv.h"

/* Contract: kernels.h, pe_dwacc_f32_fn. Channels lie across the vectors. */

static inline vfloat32m4_t load(const float *x, size_t step, size_t vl)
{
    return step == 1 ? __riscv_vle32_v_f32m4(x, vl) : __riscv_vlse32_v_f32m4(x, (ptrdiff_t)(step * sizeof *x), vl);
}

static inline __attribute__((always_inline)) void sums(const pe_dwacc_geometry *g, size_t a_n, size_t b_n,
                                                       const float *a, const float *b, float *c)
{
    for (size_t vl, i = 0; i < g->n; i += vl, a += vl * a_n, b += vl * b_n, c += vl * g->c_n) {
        vl = __riscv_vsetvl_e32m4(g->n - i);
        vfloat32m4_t sum = load(c, g->c_n, vl);
        const float *p = a, *q = b;
        for (size_t k = g->k; k; k--, p += g->a_k, q += g->b_k)
            sum = __riscv_vfmacc_vv_f32m4(sum, load(p, a_n, vl), load(q, b_n, vl), vl);
        if (g->c_n == 1)
            __riscv_vse32_v_f32m4(c, sum, vl);
        else
            __riscv_vsse32_v_f32m4(c, (ptrdiff_t)(g->c_n * sizeof *c), sum, vl);
    }
}

void pe_dwacc_f32__rvv_1x1(const pe_dwacc_geometry *g, const float *a, const float *b, float *c)
{
    if (g->a_n == 1 && g->b_n == 1)
        sums(g, 1, 1, a, b, c);
    else
        sums(g, g->a_n, g->b_n, a, b, c);
}
