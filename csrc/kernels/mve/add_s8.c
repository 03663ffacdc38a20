#include "kernels/mve/mve.h"
#include "ops/ops.h"

/* add_s8 of tensors of one shape, four elements at a time. y may be the memory of a or b. */

/* pe_requantize for shifts of 0 .. 31, as the macro REQUANTIZE of macros.S; without a shift there is no second rounding. */
typedef struct factor {
    int32_t multiplier, one, left;
} factor;

static factor factor_of(int32_t multiplier, int32_t shift)
{
    return (factor){multiplier, shift > 0, -shift};
}

static inline int32x4_t scaled(int32x4_t x, factor f)
{
    x = vqrdmulhq_n_s32(x, f.multiplier);
    return vrshlq_n_s32(vqdmlahq_n_s32(x, x, f.one), f.left);
}

bool pe_add_s8__mve(const pe_call *c)
{
    const pe_add_params *p = c->params;
    const uint32_t n = c->tensor[2]->bytes;
    if (c->tensor[0]->bytes != n || c->tensor[1]->bytes != n || p->left_shift > 20 || p->a_shift < 0 ||
        p->b_shift < 0 || p->y_shift < 0) /* the last four: no sum leaves int32 */
        return false;
    const int8_t *a = c->data[0], *b = c->data[1];
    int8_t *y = c->data[2];
    const int32x4_t min = vdupq_n_s32(p->y_min), max = vdupq_n_s32(p->y_max);
    const int32_t left_shift = p->left_shift, za = p->a_zero_point, zb = p->b_zero_point, zy = p->y_zero_point;
    const factor fa = factor_of(p->a_multiplier, p->a_shift), fb = factor_of(p->b_multiplier, p->b_shift),
                 fy = factor_of(p->y_multiplier, p->y_shift);
    for (int32_t left = (int32_t)n; left > 0; left -= 4, a += 4, b += 4, y += 4) {
        const mve_pred16_t in = vctp32q((uint32_t)left);
        const int32x4_t av = vshlq_r_s32(vsubq_n_s32(vldrbq_z_s32(a, in), za), left_shift);
        const int32x4_t bv = vshlq_r_s32(vsubq_n_s32(vldrbq_z_s32(b, in), zb), left_shift);
        const int32x4_t sum = vaddq_s32(scaled(av, fa), scaled(bv, fb));
        const int32x4_t out = vaddq_n_s32(scaled(sum, fy), zy);
        vstrbq_p_s32(y, vminq_s32(vmaxq_s32(out, min), max), in);
    }
    return true;
}
