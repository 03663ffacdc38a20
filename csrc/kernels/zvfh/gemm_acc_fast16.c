#include "kernels/f16.h"
#include "kernels/zvfh/zvfh.h"

/* Contract: kernels.h, pe_gemm_acc_fast16_fn. As gemm_acc_f16.c, with twice as many columns in a register group: the float
 * sums, which only every PE_FAST16_RUN products go to, stay in memory. */

static inline vfloat16m4_t zero(float *c, size_t vl)
{
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
                                                         bool half, const uint8_t *a, const uint8_t *b, float *c,
                                                         _Float16 *runs)
{
    const bool a_is_f16 = half || g->a_is_f16, b_is_f16 = half || g->b_is_f16;
    const size_t a_step = a_k * (a_is_f16 ? 2 : 4), b_step = g->b_k * (b_is_f16 ? 2 : 4);
    float *c0 = c, *c1 = c0 + g->c_m, *c2 = c1 + g->c_m, *c3 = c2 + g->c_m;
    _Float16 *r0 = runs, *r1 = r0 + g->c_m, *r2 = r1 + g->c_m, *r3 = r2 + g->c_m;
    vfloat16m4_t s0, s1, s2, s3;
    if (g->fresh) {
        s0 = zero(c0, vl), s1 = zero(c1, vl), s2 = zero(c2, vl), s3 = zero(c3, vl);
    } else {
        s0 = __riscv_vle16_v_f16m4(r0, vl), s1 = __riscv_vle16_v_f16m4(r1, vl);
        s2 = __riscv_vle16_v_f16m4(r2, vl), s3 = __riscv_vle16_v_f16m4(r3, vl);
    }
    size_t in_run = g->in_run;
    for (size_t n, left = g->k; left; left -= n) {
        n = in_one_run(left, in_run);
        in_run += n;
#pragma GCC unroll 4
        for (size_t k = n; k; k--, a += a_step, b += b_step) {
            const vfloat16m4_t w = pe_zvfh_load_f16(b, 0, 1, b_is_f16, vl);
            s0 = __riscv_vfmacc_vf_f16m4(s0, pe_zvfh_f16_at(a, 0, a_is_f16), w, vl);
            s1 = __riscv_vfmacc_vf_f16m4(s1, pe_zvfh_f16_at(a, a_m, a_is_f16), w, vl);
            s2 = __riscv_vfmacc_vf_f16m4(s2, pe_zvfh_f16_at(a, 2 * a_m, a_is_f16), w, vl);
            s3 = __riscv_vfmacc_vf_f16m4(s3, pe_zvfh_f16_at(a, 3 * a_m, a_is_f16), w, vl);
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

/* Four rows of c. half, a_m, a_k as above. */
static inline __attribute__((always_inline)) void rows_4(const pe_acc_geometry *g, size_t a_m, size_t a_k, bool half,
                                                         const uint8_t *a, const uint8_t *b, float *c, _Float16 *runs)
{
    const size_t column = half || g->b_is_f16 ? 2 : 4;
    for (size_t vl, left = g->n; left; left -= vl, b += vl * column, c += vl, runs += vl) {
        vl = __riscv_vsetvl_e16m4(left);
        tile_4(g, vl, a_m, a_k, half, a, b, c, runs);
    }
}

/* Apart, so that each has the registers for itself. */
static __attribute__((noinline)) void rows_side_by_side(const pe_acc_geometry *g, const uint8_t *a, const uint8_t *b,
                                                        float *c, _Float16 *runs)
{
    rows_4(g, 1, g->a_k, true, a, b, c, runs);
}

static __attribute__((noinline)) void products_side_by_side(const pe_acc_geometry *g, const uint8_t *a,
                                                            const uint8_t *b, float *c, _Float16 *runs)
{
    rows_4(g, g->a_m, 1, true, a, b, c, runs);
}

static __attribute__((noinline)) void any(const pe_acc_geometry *g, const uint8_t *a, const uint8_t *b, float *c,
                                          _Float16 *runs)
{
    rows_4(g, g->a_m, g->a_k, false, a, b, c, runs);
}

static void row_1(const pe_acc_geometry *g, const uint8_t *a, const uint8_t *b, float *c, _Float16 *runs)
{
    for (size_t vl, j = 0; j < g->n; j += vl) {
        vl = __riscv_vsetvl_e16m4(g->n - j);
        vfloat16m4_t sum = g->fresh ? zero(c + j, vl) : __riscv_vle16_v_f16m4(runs + j, vl);
        size_t in_run = g->in_run;
        for (size_t k = 0; k < g->k; k++) {
            const vfloat16m4_t w = pe_zvfh_load_f16(b, (ptrdiff_t)(k * g->b_k + j), 1, g->b_is_f16, vl);
            sum = __riscv_vfmacc_vf_f16m4(sum, pe_zvfh_f16_at(a, k * g->a_k, g->a_is_f16), w, vl);
            if (++in_run == PE_FAST16_RUN) {
                sum = flush(c + j, sum, vl);
                in_run = 0;
            }
        }
        __riscv_vse16_v_f16m4(runs + j, sum, vl);
    }
}

void pe_gemm_acc_fast16__zvfh_4x1(const pe_acc_geometry *g, const void *a, const void *b, float *c, uint16_t *runs)
{
    const bool half = g->a_is_f16 && g->b_is_f16;
    const size_t row = g->a_m * (g->a_is_f16 ? 2 : 4);
    const uint8_t *x = a;
    _Float16 *run = (void *)runs;
    size_t m = g->m;
    for (; m >= 4; m -= 4, x += 4 * row, c += 4 * g->c_m, run += 4 * g->c_m)
        (half && g->a_m == 1 ? rows_side_by_side : half && g->a_k == 1 ? products_side_by_side : any)(g, x, b, c, run);
    for (; m; m--, x += row, c += g->c_m, run += g->c_m)
        row_1(g, x, b, c, run);
}
