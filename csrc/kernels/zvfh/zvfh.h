/* What the kernels of RISC-V float16 vectors share. Zvfh, of any VLEN; Zfhmin, which it implies, for the scalars. */
#ifndef PE_ZVFH_H
#define PE_ZVFH_H
#include "kernels/rvv/rvv.h"

/* Clips and writes sums from element `at` of c on. */
static inline void pe_zvfh_store(vfloat32m4_t sum, const pe_form_f16 *form, void *c, size_t at, size_t vl)
{
    sum = pe_rvv_clip_f32(sum, form->min, form->max, vl);
    if (form->c_is_f16)
        __riscv_vse16_v_f16m2((_Float16 *)c + at, __riscv_vfncvt_f_f_w_f16m2(sum, vl), vl);
    else
        __riscv_vse32_v_f32m4((float *)c + at, sum, vl);
}

/* Twice as many. */
static inline void pe_zvfh_store_m8(vfloat32m8_t sum, const pe_form_f16 *form, void *c, size_t at, size_t vl)
{
    sum = pe_rvv_clip_f32m8(sum, form->min, form->max, vl);
    if (form->c_is_f16)
        __riscv_vse16_v_f16m4((_Float16 *)c + at, __riscv_vfncvt_f_f_w_f16m4(sum, vl), vl);
    else
        __riscv_vse32_v_f32m8((float *)c + at, sum, vl);
}

static inline vfloat32m8_t pe_zvfh_bias_m8(const float *bias, size_t vl)
{
    return bias ? __riscv_vle32_v_f32m8(bias, vl) : __riscv_vfmv_v_f_f32m8(0, vl);
}

static inline vfloat32m4_t pe_zvfh_bias(const float *bias, size_t vl)
{
    return bias ? __riscv_vle32_v_f32m4(bias, vl) : __riscv_vfmv_v_f_f32m4(0, vl);
}

/* Element `at` of float16, or of floats; and vl of them, `step` elements apart, as either type. */
static inline __attribute__((always_inline)) float pe_zvfh_float_at(const void *x, size_t at, bool is_f16)
{
    return is_f16 ? (float)((const _Float16 *)x)[at] : ((const float *)x)[at];
}

static inline __attribute__((always_inline)) _Float16 pe_zvfh_f16_at(const void *x, size_t at, bool is_f16)
{
    return is_f16 ? ((const _Float16 *)x)[at] : (_Float16)((const float *)x)[at];
}

static inline __attribute__((always_inline)) vfloat32m4_t pe_zvfh_load_f32(const void *x, ptrdiff_t at, size_t step,
                                                                           bool is_f16, size_t vl)
{
    if (is_f16) {
        const _Float16 *half = (const _Float16 *)x + at;
        return __riscv_vfwcvt_f_f_v_f32m4(step == 1
                                              ? __riscv_vle16_v_f16m2(half, vl)
                                              : __riscv_vlse16_v_f16m2(half, (ptrdiff_t)(step * sizeof *half), vl),
                                          vl);
    }
    const float *whole = (const float *)x + at;
    return step == 1 ? __riscv_vle32_v_f32m4(whole, vl)
                     : __riscv_vlse32_v_f32m4(whole, (ptrdiff_t)(step * sizeof *whole), vl);
}

static inline __attribute__((always_inline)) vfloat16m4_t pe_zvfh_load_f16(const void *x, ptrdiff_t at, size_t step,
                                                                           bool is_f16, size_t vl)
{
    if (is_f16) {
        const _Float16 *half = (const _Float16 *)x + at;
        return step == 1 ? __riscv_vle16_v_f16m4(half, vl)
                         : __riscv_vlse16_v_f16m4(half, (ptrdiff_t)(step * sizeof *half), vl);
    }
    const float *whole = (const float *)x + at;
    return __riscv_vfncvt_f_f_w_f16m4(step == 1 ? __riscv_vle32_v_f32m8(whole, vl)
                                                : __riscv_vlse32_v_f32m8(whole, (ptrdiff_t)(step * sizeof *whole), vl),
                                      vl);
}
#endif
