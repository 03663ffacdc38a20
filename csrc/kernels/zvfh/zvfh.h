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

static inline vfloat32m4_t pe_zvfh_bias(const float *bias, size_t vl)
{
    return bias ? __riscv_vle32_v_f32m4(bias, vl) : __riscv_vfmv_v_f_f32m4(0, vl);
}
#endif
