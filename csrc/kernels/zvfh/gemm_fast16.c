#include "kernels/f16.h"
#include "kernels/zvfh/zvfh.h"

/* Contract: kernels.h, pe_gemm_fast16_fn. Columns of c lie across the vectors as in gemm_f16.c, with twice as many in a
 * register group: the float sums, which only every PE_FAST16_RUN products go to, are in memory. */

#define COLUMNS 64 /* of which float sums are held; more than a vector has until VLEN 512 */
#define ROWS 4

static inline __attribute__((always_inline)) _Float16 element(const void *a, size_t i, bool a_is_f16)
{
    return a_is_f16 ? ((const _Float16 *)a)[i] : (_Float16)((const float *)a)[i];
}

static void flush(float *sums, vfloat16m4_t run, size_t vl)
{
    __riscv_vse32_v_f32m8(sums, __riscv_vfwadd_wv_f32m8(__riscv_vle32_v_f32m8(sums, vl), run, vl), vl);
}

/* k products of ROWS rows into sums; a_row: bytes from row to row of a. */
static inline __attribute__((always_inline)) void run_4(size_t vl, size_t k, const uint8_t *a, size_t a_row,
                                                        bool a_is_f16, const _Float16 *b, ptrdiff_t b_step,
                                                        float (*sums)[COLUMNS])
{
    const uint8_t *a0 = a, *a1 = a0 + a_row, *a2 = a1 + a_row, *a3 = a2 + a_row;
    vfloat16m4_t s0 = __riscv_vfmv_v_f_f16m4(0, vl), s1 = s0, s2 = s0, s3 = s0;
#pragma GCC unroll 4 /* rows are read at constant distances */
    for (size_t i = 0; i < k; i++) {
        const vfloat16m4_t w = __riscv_vlse16_v_f16m4(b + i, b_step, vl);
        s0 = __riscv_vfmacc_vf_f16m4(s0, element(a0, i, a_is_f16), w, vl);
        s1 = __riscv_vfmacc_vf_f16m4(s1, element(a1, i, a_is_f16), w, vl);
        s2 = __riscv_vfmacc_vf_f16m4(s2, element(a2, i, a_is_f16), w, vl);
        s3 = __riscv_vfmacc_vf_f16m4(s3, element(a3, i, a_is_f16), w, vl);
    }
    flush(sums[0], s0, vl);
    flush(sums[1], s1, vl);
    flush(sums[2], s2, vl);
    flush(sums[3], s3, vl);
}

static inline __attribute__((always_inline)) void run_1(size_t vl, size_t k, const uint8_t *a, bool a_is_f16,
                                                        const _Float16 *b, ptrdiff_t b_step, float *sums)
{
    vfloat16m4_t sum = __riscv_vfmv_v_f_f16m4(0, vl);
    for (size_t i = 0; i < k; i++)
        sum = __riscv_vfmacc_vf_f16m4(sum, element(a, i, a_is_f16), __riscv_vlse16_v_f16m4(b + i, b_step, vl), vl);
    flush(sums, sum, vl);
}

/* rows: ROWS or 1. */
static inline __attribute__((always_inline)) void tile(size_t rows, size_t width, size_t k, const uint8_t *a,
                                                       size_t a_row, bool a_is_f16, const _Float16 *b,
                                                       const float *bias, const pe_form_f16 *form, void *c, size_t at,
                                                       size_t c_stride)
{
    float sums[ROWS][COLUMNS];
    for (size_t row = 0; row < rows; row++)
        for (size_t vl, j = 0; j < width; j += vl) {
            vl = __riscv_vsetvl_e32m4(width - j);
            __riscv_vse32_v_f32m4(sums[row] + j, pe_zvfh_bias(bias ? bias + j : NULL, vl), vl);
        }
    const ptrdiff_t b_step = (ptrdiff_t)(k * sizeof *b);
    const size_t a_element = a_is_f16 ? sizeof(_Float16) : sizeof(float);
    for (size_t n, i = 0; i < k; i += n) {
        n = k - i < PE_FAST16_RUN ? k - i : PE_FAST16_RUN;
        if (rows == ROWS)
            run_4(width, n, a + i * a_element, a_row, a_is_f16, b + i, b_step, sums);
        else
            run_1(width, n, a + i * a_element, a_is_f16, b + i, b_step, sums[0]);
    }
    for (size_t row = 0; row < rows; row++, at += c_stride)
        for (size_t vl, j = 0; j < width; j += vl) {
            vl = __riscv_vsetvl_e32m4(width - j);
            pe_zvfh_store(__riscv_vle32_v_f32m4(sums[row] + j, vl), form, c, at + j, vl);
        }
}

static inline __attribute__((always_inline)) void gemm(size_t m, size_t n, size_t k, const uint8_t *a, size_t a_row,
                                                       bool a_is_f16, const _Float16 *b, const float *bias,
                                                       const pe_form_f16 *form, void *c, size_t c_stride)
{
    for (size_t vl, first = 0; first < n; first += vl, b += vl * k, bias += bias ? vl : 0) {
        vl = __riscv_vsetvl_e16m4(n - first < COLUMNS ? n - first : COLUMNS);
        size_t i = 0;
        for (; i + ROWS <= m; i += ROWS)
            tile(ROWS, vl, k, a + i * a_row, a_row, a_is_f16, b, bias, form, c, i * c_stride + first, c_stride);
        for (; i < m; i++)
            tile(1, vl, k, a + i * a_row, a_row, a_is_f16, b, bias, form, c, i * c_stride + first, c_stride);
    }
}

void pe_gemm_fast16__zvfh_4x1(size_t m, size_t n, size_t k, const void *a, size_t a_stride, const uint16_t *b,
                              const float *bias, const pe_form_f16 *form, void *c, size_t c_stride)
{
    const _Float16 *w = (const void *)b;
    if (form->a_is_f16)
        gemm(m, n, k, a, a_stride * sizeof(_Float16), true, w, bias, form, c, c_stride);
    else
        gemm(m, n, k, a, a_stride * sizeof(float), false, w, bias, form, c, c_stride);
}
