#include "kernels/f16.h"
#include "kernels/zvfh/zvfh.h"

/* Contract: kernels.h, pe_gemm_fast16_fn. Columns of c lie across the vectors as in gemm_f16.c, with twice as many in a
 * register group: the float sums, which only every PE_FAST16_RUN products go to, are in memory. Where rows of c fill the
 * vectors better, for layers of few channels, they lie across them. */

#define COLUMNS 64 /* of which float sums are held, or rows; more than a vector has until VLEN 512 */
#define ROWS 4

static inline __attribute__((always_inline)) _Float16 element(const void *a, size_t i, bool a_is_f16)
{
    return a_is_f16 ? ((const _Float16 *)a)[i] : (_Float16)((const float *)a)[i];
}

static void flush(float *sums, vfloat16m4_t run, size_t vl)
{
    __riscv_vse32_v_f32m8(sums, __riscv_vfwadd_wv_f32m8(__riscv_vle32_v_f32m8(sums, vl), run, vl), vl);
}

/* A tile whose sums have one run. */
typedef struct tile_of {
    const float *bias; /* of its first column, or NULL */
    const pe_form_f16 *form;
    void *c;
    size_t at, c_stride; /* its first element, and from row to row */
} tile_of;

/* A run goes into the sums; or, if it is the only one, with the bias into c. */
static inline __attribute__((always_inline)) void end_run(float (*sums)[COLUMNS], const tile_of *only, size_t row,
                                                          vfloat16m4_t run, size_t vl)
{
    if (!only) {
        flush(sums[row], run, vl);
        return;
    }
    const vfloat32m8_t sum = __riscv_vfwadd_wv_f32m8(pe_zvfh_bias_m8(only->bias, vl), run, vl);
    pe_zvfh_store_m8(sum, only->form, only->c, only->at + row * only->c_stride, vl);
}

/* k products of ROWS rows; a_row: bytes from row to row of a. */
static inline __attribute__((always_inline)) void run_4(size_t vl, size_t k, const uint8_t *a, size_t a_row,
                                                        bool a_is_f16, const _Float16 *b, ptrdiff_t b_step,
                                                        float (*sums)[COLUMNS], const tile_of *only)
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
    end_run(sums, only, 0, s0, vl);
    end_run(sums, only, 1, s1, vl);
    end_run(sums, only, 2, s2, vl);
    end_run(sums, only, 3, s3, vl);
}

static inline __attribute__((always_inline)) void run_1(size_t vl, size_t k, const uint8_t *a, bool a_is_f16,
                                                        const _Float16 *b, ptrdiff_t b_step, float (*sums)[COLUMNS],
                                                        const tile_of *only)
{
    vfloat16m4_t sum = __riscv_vfmv_v_f_f16m4(0, vl);
    for (size_t i = 0; i < k; i++)
        sum = __riscv_vfmacc_vf_f16m4(sum, element(a, i, a_is_f16), __riscv_vlse16_v_f16m4(b + i, b_step, vl), vl);
    end_run(sums, only, 0, sum, vl);
}

/* rows: ROWS or 1. */
static inline __attribute__((always_inline)) void tile(size_t rows, size_t width, size_t k, const uint8_t *a,
                                                       size_t a_row, bool a_is_f16, const _Float16 *b,
                                                       const float *bias, const pe_form_f16 *form, void *c, size_t at,
                                                       size_t c_stride)
{
    float sums[ROWS][COLUMNS];
    if (k <= PE_FAST16_RUN) {
        const tile_of only = {bias, form, c, at, c_stride};
        if (rows == ROWS)
            run_4(width, k, a, a_row, a_is_f16, b, (ptrdiff_t)(k * sizeof *b), sums, &only);
        else
            run_1(width, k, a, a_is_f16, b, (ptrdiff_t)(k * sizeof *b), sums, &only);
        return;
    }
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
            run_4(width, n, a + i * a_element, a_row, a_is_f16, b + i, b_step, sums, NULL);
        else
            run_1(width, n, a + i * a_element, a_is_f16, b + i, b_step, sums, NULL);
    }
    for (size_t row = 0; row < rows; row++, at += c_stride)
        for (size_t vl, j = 0; j < width; j += vl) {
            vl = __riscv_vsetvl_e32m4(width - j);
            pe_zvfh_store(__riscv_vle32_v_f32m4(sums[row] + j, vl), form, c, at + j, vl);
        }
}

/* A product of vl rows, which lie across the lanes. */
static inline __attribute__((always_inline)) vfloat16m4_t rows_of(size_t vl, const uint8_t *a, ptrdiff_t a_row,
                                                                  bool a_is_f16)
{
    return a_is_f16 ? __riscv_vlse16_v_f16m4((const _Float16 *)(const void *)a, a_row, vl)
                    : __riscv_vfncvt_f_f_w_f16m4(__riscv_vlse32_v_f32m8((const float *)(const void *)a, a_row, vl), vl);
}

/* n products with one column of c. */
static void column_run_1(size_t vl, size_t n, const uint8_t *a, ptrdiff_t a_row, bool a_is_f16, const _Float16 *w,
                         float *sums)
{
    vfloat16m4_t sum = __riscv_vfmv_v_f_f16m4(0, vl);
    for (; n; n--, a += a_is_f16 ? sizeof(_Float16) : sizeof(float))
        sum = __riscv_vfmacc_vf_f16m4(sum, *w++, rows_of(vl, a, a_row, a_is_f16), vl);
    flush(sums, sum, vl);
}

/* With four columns, whose weights are k apart. */
static inline __attribute__((always_inline)) void column_run(size_t vl, size_t n, const uint8_t *a, ptrdiff_t a_row,
                                                             bool a_is_f16, const _Float16 *w, size_t k,
                                                             float (*sums)[COLUMNS])
{
    const size_t a_element = a_is_f16 ? sizeof(_Float16) : sizeof(float);
    const _Float16 *w0 = w, *w1 = w0 + k, *w2 = w1 + k, *w3 = w2 + k;
    vfloat16m4_t s0 = __riscv_vfmv_v_f_f16m4(0, vl), s1 = s0, s2 = s0, s3 = s0;
#pragma GCC unroll 4
    for (; n; n--, a += a_element) {
        const vfloat16m4_t x = rows_of(vl, a, a_row, a_is_f16);
        s0 = __riscv_vfmacc_vf_f16m4(s0, *w0++, x, vl);
        s1 = __riscv_vfmacc_vf_f16m4(s1, *w1++, x, vl);
        s2 = __riscv_vfmacc_vf_f16m4(s2, *w2++, x, vl);
        s3 = __riscv_vfmacc_vf_f16m4(s3, *w3++, x, vl);
    }
    flush(sums[0], s0, vl);
    flush(sums[1], s1, vl);
    flush(sums[2], s2, vl);
    flush(sums[3], s3, vl);
}

/* Apart, so that they have the registers for themselves. */
static __attribute__((noinline)) void column_run_f16(size_t vl, size_t n, const uint8_t *a, ptrdiff_t a_row,
                                                     const _Float16 *w, size_t k, float (*sums)[COLUMNS])
{
    column_run(vl, n, a, a_row, true, w, k, sums);
}

static __attribute__((noinline)) void column_run_f32(size_t vl, size_t n, const uint8_t *a, ptrdiff_t a_row,
                                                     const _Float16 *w, size_t k, float (*sums)[COLUMNS])
{
    column_run(vl, n, a, a_row, false, w, k, sums);
}

/* Sums of a column to c, from element `at` on, c_stride apart. */
static void store_column(const float *sums, size_t n, const pe_form_f16 *form, void *c, size_t at, size_t c_stride)
{
    for (size_t vl, i = 0; i < n; i += vl) {
        vl = __riscv_vsetvl_e32m4(n - i);
        const vfloat32m4_t y = pe_rvv_clip_f32(__riscv_vle32_v_f32m4(sums + i, vl), form->min, form->max, vl);
        const size_t to = at + i * c_stride;
        if (form->c_is_f16)
            __riscv_vsse16_v_f16m2((_Float16 *)c + to, (ptrdiff_t)(c_stride * sizeof(_Float16)),
                                   __riscv_vfncvt_f_f_w_f16m2(y, vl), vl);
        else
            __riscv_vsse32_v_f32m4((float *)c + to, (ptrdiff_t)(c_stride * sizeof(float)), y, vl);
    }
}

/* vl rows of c. */
static inline __attribute__((always_inline)) void across_rows(size_t vl, size_t n, size_t k, const uint8_t *a,
                                                              size_t a_row, bool a_is_f16, const _Float16 *b,
                                                              const float *bias, const pe_form_f16 *form, void *c,
                                                              size_t at, size_t c_stride)
{
    const size_t a_element = a_is_f16 ? sizeof(_Float16) : sizeof(float);
    float sums[ROWS][COLUMNS];
    for (size_t columns, j = 0; j < n; j += columns, b += columns * k) {
        columns = n - j < ROWS ? 1 : ROWS;
        for (size_t q = 0; q < columns; q++)
            __riscv_vse32_v_f32m8(sums[q], __riscv_vfmv_v_f_f32m8(bias ? bias[j + q] : 0, vl), vl);
        for (size_t run, i = 0; i < k; i += run) {
            run = k - i < PE_FAST16_RUN ? k - i : PE_FAST16_RUN;
            const uint8_t *from = a + i * a_element;
            if (columns == ROWS)
                (a_is_f16 ? column_run_f16 : column_run_f32)(vl, run, from, (ptrdiff_t)a_row, b + i, k, sums);
            else
                column_run_1(vl, run, from, (ptrdiff_t)a_row, a_is_f16, b + i, sums[0]);
        }
        for (size_t q = 0; q < columns; q++)
            store_column(sums[q], vl, form, c, at + j + q, c_stride);
    }
}

static inline __attribute__((always_inline)) void gemm(size_t m, size_t n, size_t k, const uint8_t *a, size_t a_row,
                                                       bool a_is_f16, const _Float16 *b, const float *bias,
                                                       const pe_form_f16 *form, void *c, size_t c_stride)
{
    const size_t most = __riscv_vsetvl_e16m4(COLUMNS);
    if (((m - 1) / most + 1) * n < ((n - 1) / most + 1) * m) {
        for (size_t vl, first = 0; first < m; first += vl) {
            vl = __riscv_vsetvl_e16m4(m - first < most ? m - first : most);
            across_rows(vl, n, k, a + first * a_row, a_row, a_is_f16, b, bias, form, c, first * c_stride, c_stride);
        }
        return;
    }
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
