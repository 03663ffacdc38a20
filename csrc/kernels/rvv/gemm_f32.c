#include "kernels/rvv/rvv.h"

/* Contract: kernels.h, pe_gemm_f32_fn. Columns of c lie across the vectors, so that each sum takes its products in ascending
 * k; four rows of a share what is read of b. */

static vfloat32m4_t start(const float *bias, size_t vl)
{
    return bias ? __riscv_vle32_v_f32m4(bias, vl) : __riscv_vfmv_v_f_f32m4(0, vl);
}

static void tile_4(size_t vl, size_t k, const float *a, size_t a_stride, const float *b, ptrdiff_t b_step,
                   const float *bias, float min, float max, float *c, size_t c_stride)
{
    const float *a0 = a, *a1 = a0 + a_stride, *a2 = a1 + a_stride, *a3 = a2 + a_stride;
    vfloat32m4_t s0 = start(bias, vl), s1 = s0, s2 = s0, s3 = s0;
    for (size_t i = 0; i < k; i++) {
        const vfloat32m4_t w = __riscv_vlse32_v_f32m4(b + i, b_step, vl);
        s0 = __riscv_vfmacc_vf_f32m4(s0, a0[i], w, vl);
        s1 = __riscv_vfmacc_vf_f32m4(s1, a1[i], w, vl);
        s2 = __riscv_vfmacc_vf_f32m4(s2, a2[i], w, vl);
        s3 = __riscv_vfmacc_vf_f32m4(s3, a3[i], w, vl);
    }
    __riscv_vse32_v_f32m4(c, pe_rvv_clip_f32(s0, min, max, vl), vl);
    __riscv_vse32_v_f32m4(c + c_stride, pe_rvv_clip_f32(s1, min, max, vl), vl);
    __riscv_vse32_v_f32m4(c + 2 * c_stride, pe_rvv_clip_f32(s2, min, max, vl), vl);
    __riscv_vse32_v_f32m4(c + 3 * c_stride, pe_rvv_clip_f32(s3, min, max, vl), vl);
}

static void tile_1(size_t vl, size_t k, const float *a, const float *b, ptrdiff_t b_step, const float *bias, float min,
                   float max, float *c)
{
    vfloat32m4_t sum = start(bias, vl);
    for (size_t i = 0; i < k; i++)
        sum = __riscv_vfmacc_vf_f32m4(sum, a[i], __riscv_vlse32_v_f32m4(b + i, b_step, vl), vl);
    __riscv_vse32_v_f32m4(c, pe_rvv_clip_f32(sum, min, max, vl), vl);
}

void pe_gemm_f32__rvv_4x1(size_t m, size_t n, size_t k, const float *a, size_t a_stride, const float *b,
                          const float *bias, float min, float max, float *c, size_t c_stride)
{
    const ptrdiff_t b_step = (ptrdiff_t)(k * sizeof *b);
    for (size_t vl; n; n -= vl, b += vl * k, bias += bias ? vl : 0, c += vl) {
        vl = __riscv_vsetvl_e32m4(n);
        size_t i = 0;
        for (; i + 4 <= m; i += 4)
            tile_4(vl, k, a + i * a_stride, a_stride, b, b_step, bias, min, max, c + i * c_stride, c_stride);
        for (; i < m; i++)
            tile_1(vl, k, a + i * a_stride, b, b_step, bias, min, max, c + i * c_stride);
    }
}
