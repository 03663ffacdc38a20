#include "kernels/f16.h"
#include "kernels/zvfh/zvfh.h"

/* Contract: kernels.h, pe_gemm_acc_fast16_fn. As gemm_acc_f16.c, with twice as many columns in a register group: the float
 * sums, which only every PE_FAST16_RUN products go to, stay in memory. */

static vfloat16m4_t start(const pe_acc_geometry *g, float *c, const _Float16 *run, size_t vl)
{
    if (!g->fresh)
        return __riscv_vle16_v_f16m4(run, vl);
    __riscv_vse32_v_f32m8(c, __riscv_vfmv_v_f_f32m8(0, vl), vl);
    return __riscv_vfmv_v_f_f16m4(0, vl);
}

/* The run goes into the sums; a new one. */
static inline vfloat16m4_t flush(float *c, vfloat16m4_t run, size_t vl)
{
    __riscv_vse32_v_f32m8(c, __riscv_vfwadd_wv_f32m8(__riscv_vle32_v_f32m8(c, vl), run, vl), vl);
    return __riscv_vfmv_v_f_f16m4(0, vl);
}

/* Products from one on until its run is whole. */
static inline size_t in_one_run(size_t left, size_t in_run)
{
    return left < PE_FAST16_RUN - in_run ? left : PE_FAST16_RUN - in_run;
}

/* a_m, a_k: steps of a. half: a and b are float16, as in most gradients. */
static inline __attribute__((always_inline)) void tile_4(const pe_acc_geometry *g, size_t vl, size_t a_m, size_t a_k,
                                                         bool half, const void *a, size_t a_at, const void *b,
                                                         size_t b_at, float *c, _Float16 *runs)
{
    const bool a_is_f16 = half || g->a_is_f16, b_is_f16 = half || g->b_is_f16;
    float *c0 = c, *c1 = c0 + g->c_m, *c2 = c1 + g->c_m, *c3 = c2 + g->c_m;
    _Float16 *r0 = runs, *r1 = r0 + g->c_m, *r2 = r1 + g->c_m, *r3 = r2 + g->c_m;
    vfloat16m4_t s0 = start(g, c0, r0, vl), s1 = start(g, c1, r1, vl), s2 = start(g, c2, r2, vl),
                 s3 = start(g, c3, r3, vl);
    size_t in_run = g->in_run;
    for (size_t n, left = g->k; left; left -= n) {
        n = in_one_run(left, in_run);
        in_run += n;
#pragma GCC unroll 4
        for (size_t k = 0; k < n; k++, a_at += a_k, b_at += g->b_k) {
            const vfloat16m4_t w = pe_zvfh_load_f16(b, b_at, 1, b_is_f16, vl);
            s0 = __riscv_vfmacc_vf_f16m4(s0, pe_zvfh_f16_at(a, a_at, a_is_f16), w, vl);
            s1 = __riscv_vfmacc_vf_f16m4(s1, pe_zvfh_f16_at(a, a_at + a_m, a_is_f16), w, vl);
            s2 = __riscv_vfmacc_vf_f16m4(s2, pe_zvfh_f16_at(a, a_at + 2 * a_m, a_is_f16), w, vl);
            s3 = __riscv_vfmacc_vf_f16m4(s3, pe_zvfh_f16_at(a, a_at + 3 * a_m, a_is_f16), w, vl);
        }
        if (in_run == PE_FAST16_RUN) {
            s0 = flush(c0, s0, vl);
            s1 = flush(c1, s1, vl);
            s2 = flush(c2, s2, vl);
            s3 = flush(c3, s3, vl);
            in_run = 0;
        }
    }
    __riscv_vse16_v_f16m4(r0, s0, vl);
    __riscv_vse16_v_f16m4(r1, s1, vl);
    __riscv_vse16_v_f16m4(r2, s2, vl);
    __riscv_vse16_v_f16m4(r3, s3, vl);
}

static void tile_1(const pe_acc_geometry *g, size_t vl, const void *a, size_t a_at, const void *b, size_t b_at,
                   float *c, _Float16 *runs)
{
    vfloat16m4_t sum = start(g, c, runs, vl);
    size_t in_run = g->in_run;
    for (size_t k = g->k; k; k--, a_at += g->a_k, b_at += g->b_k) {
        sum = __riscv_vfmacc_vf_f16m4(sum, pe_zvfh_f16_at(a, a_at, g->a_is_f16),
                                      pe_zvfh_load_f16(b, b_at, 1, g->b_is_f16, vl), vl);
        if (++in_run == PE_FAST16_RUN) {
            sum = flush(c, sum, vl);
            in_run = 0;
        }
    }
    __riscv_vse16_v_f16m4(runs, sum, vl);
}

void pe_gemm_acc_fast16__zvfh_4x1(const pe_acc_geometry *g, const void *a, const void *b, float *c, uint16_t *runs)
{
    const bool half = g->a_is_f16 && g->b_is_f16;
    _Float16 *const r = (void *)runs;
    for (size_t vl, j = 0; j < g->n; j += vl) {
        vl = __riscv_vsetvl_e16m4(g->n - j);
        size_t i = 0;
        for (; i + 4 <= g->m; i += 4) {
            const size_t to = i * g->c_m + j;
            if (half && g->a_m == 1)
                tile_4(g, vl, 1, g->a_k, true, a, i, b, j, c + to, r + to);
            else if (half && g->a_k == 1)
                tile_4(g, vl, g->a_m, 1, true, a, i * g->a_m, b, j, c + to, r + to);
            else
                tile_4(g, vl, g->a_m, g->a_k, false, a, i * g->a_m, b, j, c + to, r + to);
        }
        for (; i < g->m; i++)
            tile_1(g, vl, a, i * g->a_m, b, j, c + i * g->c_m + j, r + i * g->c_m + j);
    }
}
