#include "kernels/f16.h"
#include "kernels/zvfh/zvfh.h"

/* Contract: kernels.h, pe_dwacc_f16_fn and pe_dwacc_fast16_fn. Channels lie across the vectors. */

static inline vfloat32m4_t load_sums(const float *c, size_t step, size_t vl)
{
    return __riscv_vlse32_v_f32m4(c, (ptrdiff_t)(step * sizeof *c), vl);
}

static inline void store_sums(float *c, size_t step, vfloat32m4_t sum, size_t vl)
{
    __riscv_vsse32_v_f32m4(c, (ptrdiff_t)(step * sizeof *c), sum, vl);
}

/* half: a and b are float16, and neighbours. */
static inline __attribute__((always_inline)) void exact(const pe_dwacc_geometry *g, bool half, const void *a,
                                                        const void *b, float *c)
{
    for (size_t vl, i = 0; i < g->n; i += vl) {
        vl = __riscv_vsetvl_e32m4(g->n - i);
        ptrdiff_t p = (ptrdiff_t)(i * g->a_n), q = (ptrdiff_t)(i * g->b_n);
        vfloat32m4_t sum = load_sums(c + i * g->c_n, g->c_n, vl);
        for (size_t k = g->k; k; k--, p += g->a_k, q += g->b_k)
            if (half)
                sum = __riscv_vfwmacc_vv_f32m4(sum, __riscv_vle16_v_f16m2((const _Float16 *)a + p, vl),
                                               __riscv_vle16_v_f16m2((const _Float16 *)b + q, vl), vl);
            else
                sum = __riscv_vfmacc_vv_f32m4(sum, pe_zvfh_load_f32(a, p, g->a_n, g->a_is_f16, vl),
                                              pe_zvfh_load_f32(b, q, g->b_n, g->b_is_f16, vl), vl);
        store_sums(c + i * g->c_n, g->c_n, sum, vl);
    }
}

static inline __attribute__((always_inline)) void fast(const pe_dwacc_geometry *g, bool half, const void *a,
                                                       const void *b, float *c, _Float16 *runs)
{
    const size_t a_n = half ? 1 : g->a_n, b_n = half ? 1 : g->b_n;
    const ptrdiff_t run_step = (ptrdiff_t)(g->c_n * sizeof *runs), c_step = (ptrdiff_t)(g->c_n * sizeof *c);
    for (size_t vl, i = 0; i < g->n; i += vl) {
        vl = __riscv_vsetvl_e16m4(g->n - i);
        ptrdiff_t p = (ptrdiff_t)(i * a_n), q = (ptrdiff_t)(i * b_n);
        float *const to = c + i * g->c_n;
        _Float16 *const run = runs + i * g->c_n;
        vfloat16m4_t sum = __riscv_vlse16_v_f16m4(run, run_step, vl);
        size_t in_run = g->in_run;
        for (size_t k = g->k; k; k--, p += g->a_k, q += g->b_k) {
            sum = __riscv_vfmacc_vv_f16m4(sum, pe_zvfh_load_f16(a, p, a_n, half || g->a_is_f16, vl),
                                          pe_zvfh_load_f16(b, q, b_n, half || g->b_is_f16, vl), vl);
            if (++in_run == PE_FAST16_RUN) {
                const vfloat32m8_t before = __riscv_vlse32_v_f32m8(to, c_step, vl);
                __riscv_vsse32_v_f32m8(to, c_step, __riscv_vfwadd_wv_f32m8(before, sum, vl), vl);
                sum = __riscv_vfmv_v_f_f16m4(0, vl);
                in_run = 0;
            }
        }
        __riscv_vsse16_v_f16m4(run, run_step, sum, vl);
    }
}

static bool all_half(const pe_dwacc_geometry *g)
{
    return g->a_is_f16 && g->b_is_f16 && g->a_n == 1 && g->b_n == 1;
}

void pe_dwacc_f16__zvfh_1x1(const pe_dwacc_geometry *g, const void *a, const void *b, float *c)
{
    if (all_half(g))
        exact(g, true, a, b, c);
    else
        exact(g, false, a, b, c);
}

void pe_dwacc_fast16__zvfh_1x1(const pe_dwacc_geometry *g, const void *a, const void *b, float *c, uint16_t *runs)
{
    if (all_half(g))
        fast(g, true, a, b, c, (void *)runs);
    else
        fast(g, false, a, b, c, (void *)runs);
}
