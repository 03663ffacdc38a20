#include "kernels/mve/mve.h"
#include "ops/ops.h"

/* add_s8 of tensors of one shape, four elements at a time. y may be the memory of a or b. */

/* TFLite's factor of the operand with the larger scale is one half, exactly. */
static bool is_half(int32_t multiplier, int32_t shift)
{
    return multiplier == 1 << 30 && shift == 0;
}

/* All that a loop needs. */
typedef struct factors {
    int32_t half, offset;                  /* operand a: a << half, plus offset */
    int32_t zero_point, left;              /* operand b: (b - zero_point) << left, */
    int32_t multiplier, one, right;        /* requantized */
    int32_t y_multiplier, y_right, y_zero; /* of the sum */
    int32x4_t min, max;
} factors;

/* pe_requantize, as the macro REQUANTIZE of macros.S. right: minus the shift; one: 1, or 0 without a shift, because then there is
 * no second rounding. */
static inline int32x4_t scaled(int32x4_t x, int32_t multiplier, int32_t one, int32_t right)
{
    x = vqrdmulhq_n_s32(x, multiplier);
    return vrshlq_n_s32(vqdmlahq_n_s32(x, x, one), right);
}

static inline int32x4_t sum(const factors *f, int32x4_t a, int32x4_t b)
{
    b = scaled(vshlq_r_s32(vsubq_n_s32(b, f->zero_point), f->left), f->multiplier, f->one, f->right);
    a = vaddq_s32(vaddq_n_s32(vshlq_r_s32(a, f->half), f->offset), b);
    a = vaddq_n_s32(scaled(a, f->y_multiplier, 1, f->y_right), f->y_zero);
    return vminq_s32(vmaxq_s32(a, f->min), f->max);
}

/* a: the operand that is halved; za, zb: zero points; multiplier, shift: of b. */
static void add(const pe_add_params *p, const int8_t *a, int32_t za, const int8_t *b, int32_t zb, int32_t multiplier,
                int32_t shift, uint32_t n, int8_t *y)
{
    const int32_t half = p->left_shift - 1;
    const factors f = {
        .half = half,
        .offset = -za * (1 << half),
        .zero_point = zb,
        .left = p->left_shift,
        .multiplier = multiplier,
        .one = shift > 0,
        .right = -shift,
        .y_multiplier = p->y_multiplier,
        .y_right = -p->y_shift,
        .y_zero = p->y_zero_point,
        .min = vdupq_n_s32(p->y_min),
        .max = vdupq_n_s32(p->y_max),
    };
    for (; n >= 4; n -= 4, a += 4, b += 4, y += 4)
        vstrbq_s32(y, sum(&f, vldrbq_s32(a), vldrbq_s32(b)));
    const mve_pred16_t in = vctp32q(n);
    vstrbq_p_s32(y, sum(&f, vldrbq_z_s32(a, in), vldrbq_z_s32(b, in)), in);
}

bool pe_add_s8__mve(const pe_call *c)
{
    const pe_add_params *p = c->params;
    const uint32_t n = c->tensor[2]->bytes;
    const int8_t *a = c->data[0], *b = c->data[1];
    if (c->tensor[0]->bytes != n || c->tensor[1]->bytes != n || p->left_shift < 1 || p->left_shift > 20 ||
        p->y_shift < 1) /* up to 20, no sum leaves int32 */
        return false;
    if (is_half(p->a_multiplier, p->a_shift) && p->b_shift >= 0)
        add(p, a, p->a_zero_point, b, p->b_zero_point, p->b_multiplier, p->b_shift, n, c->data[2]);
    else if (is_half(p->b_multiplier, p->b_shift) && p->a_shift >= 0)
        add(p, b, p->b_zero_point, a, p->a_zero_point, p->a_multiplier, p->a_shift, n, c->data[2]);
    else
        return false;
    return true;
}
