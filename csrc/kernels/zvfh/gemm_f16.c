#include "kernels/zvfh/zvfh.h"

/* Contract: kernels.h, pe_gemm_f16_fn. As rvv/gemm_f32.c; a product of two float16 is exact in float, so that vfwmacc, which
 * widens both, rounds once like the fma of what is widened before. */

static inline __attribute__((always_inline)) vfloat32m4_t add(vfloat32m4_t sum, const void *a, size_t i, bool a_is_f16,
                                                              vfloat16m2_t w, size_t vl)
{
    if (a_is_f16)
        return __riscv_vfwmacc_vf_f32m4(sum, ((const _Float16 *)a)[i], w, vl);
    return __riscv_vfmacc_vf_f32m4(sum, ((const float *)a)[i], __riscv_vfwcvt_f_f_v_f32m4(w, vl), vl);
}

/* a_row: bytes from row to row of a; b_step: bytes from column to column of c, in b. */
static inline __attribute__((always_inline)) void tile_4(size_t vl, size_t k, const void *a, size_t a_row,
                                                         bool a_is_f16, const _Float16 *b, ptrdiff_t b_step,
                                                         const float *bias, const pe_form_f16 *form, void *c, size_t at,
                                                         size_t c_stride)
{
    const uint8_t *a0 = a, *a1 = a0 + a_row, *a2 = a1 + a_row, *a3 = a2 + a_row;
    vfloat32m4_t s0 = pe_zvfh_bias(bias, vl), s1 = s0, s2 = s0, s3 = s0;
#pragma GCC unroll 4 /* rows are read at constant distances */
    for (size_t i = 0; i < k; i++) {
        const vfloat16m2_t w = __riscv_vlse16_v_f16m2(b + i, b_step, vl);
        s0 = add(s0, a0, i, a_is_f16, w, vl);
        s1 = add(s1, a1, i, a_is_f16, w, vl);
        s2 = add(s2, a2, i, a_is_f16, w, vl);
        s3 = add(s3, a3, i, a_is_f16, w, vl);
    }
    pe_zvfh_store(s0, form, c, at, vl);
    pe_zvfh_store(s1, form, c, at + c_stride, vl);
    pe_zvfh_store(s2, form, c, at + 2 * c_stride, vl);
    pe_zvfh_store(s3, form, c, at + 3 * c_stride, vl);
}

static inline __attribute__((always_inline)) void tile_1(size_t vl, size_t k, const void *a, bool a_is_f16,
                                                         const _Float16 *b, ptrdiff_t b_step, const float *bias,
                                                         const pe_form_f16 *form, void *c, size_t at)
{
    vfloat32m4_t sum = pe_zvfh_bias(bias, vl);
    for (size_t i = 0; i < k; i++)
        sum = add(sum, a, i, a_is_f16, __riscv_vlse16_v_f16m2(b + i, b_step, vl), vl);
    pe_zvfh_store(sum, form, c, at, vl);
}

static inline __attribute__((always_inline)) void gemm(size_t m, size_t n, size_t k, const uint8_t *a, size_t a_row,
                                                       bool a_is_f16, const _Float16 *b, const float *bias,
                                                       const pe_form_f16 *form, void *c, size_t c_stride)
{
    const ptrdiff_t b_step = (ptrdiff_t)(k * sizeof *b);
    for (size_t vl, first = 0; first < n; first += vl, b += vl * k, bias += bias ? vl : 0) {
        vl = __riscv_vsetvl_e16m2(n - first);
        size_t i = 0;
        for (; i + 4 <= m; i += 4)
            tile_4(vl, k, a + i * a_row, a_row, a_is_f16, b, b_step, bias, form, c, i * c_stride + first, c_stride);
        for (; i < m; i++)
            tile_1(vl, k, a + i * a_row, a_is_f16, b, b_step, bias, form, c, i * c_stride + first);
    }
}

void pe_gemm_f16__zvfh_4x1(size_t m, size_t n, size_t k, const void *a, size_t a_stride, const uint16_t *b,
                           const float *bias, const pe_form_f16 *form, void *c, size_t c_stride)
{
    const _Float16 *w = (const void *)b;
    if (form->a_is_f16)
        gemm(m, n, k, a, a_stride * sizeof(_Float16), true, w, bias, form, c, c_stride);
    else
        gemm(m, n, k, a, a_stride * sizeof(float), false, w, bias, form, c, c_stride);
}
