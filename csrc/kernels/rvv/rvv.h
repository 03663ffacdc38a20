/* What the RISC-V vector kernels share. For RVV 1.0 of any VLEN (Zve32f is enough), by the intrinsics of clang. */
#ifndef PE_RVV_H
#define PE_RVV_H
#include <riscv_vector.h>

#include "kernels/kernels.h"

/* pe_requantize_s8_short of a vector, to the bit: vsmul to the nearest is the first rounding, and vssra, after halves
 * below zero have lost one, the second. Its saturations are out of reach: multipliers are >= 0, and what leaves int16
 * is clamped anyway. */
static inline vint8m2_t pe_rvv_to_s8(vint32m8_t h, const pe_output_s8 *out, size_t vl)
{
    const vint16m4_t wide = __riscv_vnclip_wx_i16m4(h, 0, __RISCV_VXRM_RNU, vl);
    const vint16m4_t y = __riscv_vsadd_vx_i16m4(wide, (int16_t)out->zero_point, vl);
    const vint8m2_t narrow = __riscv_vnclip_wx_i8m2(y, 0, __RISCV_VXRM_RNU, vl);
    return __riscv_vmin_vx_i8m2(__riscv_vmax_vx_i8m2(narrow, (int8_t)out->min, vl), (int8_t)out->max, vl);
}

/* Sums of one channel; its shift is short. */
static inline vint8m2_t pe_rvv_requantize(vint32m8_t sum, const pe_channel *q, const pe_output_s8 *out, size_t vl)
{
    vint32m8_t h = __riscv_vsmul_vx_i32m8(sum, q->a & INT32_MAX, __RISCV_VXRM_RNU, vl);
    h = __riscv_vadd_vv_i32m8(h, __riscv_vsra_vx_i32m8(h, 31, vl), vl);
    return pe_rvv_to_s8(__riscv_vssra_vx_i32m8(h, (size_t)q->b, __RISCV_VXRM_RNU, vl), out, vl);
}

/* A channel an element: multipliers with their top bit off, short shifts. */
static inline vint8m2_t pe_rvv_requantize_each(vint32m8_t sum, vint32m8_t multiplier, vuint32m8_t shift,
                                               const pe_output_s8 *out, size_t vl)
{
    vint32m8_t h = __riscv_vsmul_vv_i32m8(sum, multiplier, __RISCV_VXRM_RNU, vl);
    h = __riscv_vadd_vv_i32m8(h, __riscv_vsra_vx_i32m8(h, 31, vl), vl);
    return pe_rvv_to_s8(__riscv_vssra_vv_i32m8(h, shift, __RISCV_VXRM_RNU, vl), out, vl);
}

/* Whether pe_shift_is_short for each of the shifts. */
static inline bool pe_rvv_shifts_are_short(vint32m8_t shift, size_t vl)
{
    const vuint32m8_t above = __riscv_vreinterpret_v_i32m8_u32m8(__riscv_vsub_vx_i32m8(shift, 2, vl));
    return __riscv_vcpop_m_b4(__riscv_vmsgtu_vx_u32m8_b4(above, 29, vl), vl) == 0;
}

/* A field of n channels side by side, for vlse32. */
static inline vint32m8_t pe_rvv_load_field(const int32_t *first, size_t vl)
{
    return __riscv_vlse32_v_i32m8(first, sizeof(pe_channel), vl);
}

static inline bool pe_rvv_all_short(const pe_channel *q, size_t n)
{
    for (size_t vl; n; n -= vl, q += vl) {
        vl = __riscv_vsetvl_e32m8(n);
        if (!pe_rvv_shifts_are_short(pe_rvv_load_field(&q->b, vl), vl))
            return false;
    }
    return true;
}

/* pe_clip_f32. Comparisons with NaN are false. */
static inline vfloat32m4_t pe_rvv_clip_f32(vfloat32m4_t x, float min, float max, size_t vl)
{
    const vbool8_t low = __riscv_vmfle_vf_f32m4_b8(x, min, vl), high = __riscv_vmfge_vf_f32m4_b8(x, max, vl);
    return __riscv_vfmerge_vfm_f32m4(__riscv_vfmerge_vfm_f32m4(x, max, high, vl), min, low, vl);
}

static inline vfloat32m8_t pe_rvv_clip_f32m8(vfloat32m8_t x, float min, float max, size_t vl)
{
    const vbool4_t low = __riscv_vmfle_vf_f32m8_b4(x, min, vl), high = __riscv_vmfge_vf_f32m8_b4(x, max, vl);
    return __riscv_vfmerge_vfm_f32m8(__riscv_vfmerge_vfm_f32m8(x, max, high, vl), min, low, vl);
}
#endif
