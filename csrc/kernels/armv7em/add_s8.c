#include "kernels/armv7em/armv7em.h"
#include "ops/ops.h"

/* add_s8 of operands of the same shape, as TFLite writes it: 20 bits to the left, a factor of exactly one half for the operand
 * with the larger scale, which is the first one here, and a smaller one for the other. */

typedef struct operand {
    const int8_t *x;
    int32_t zero_point, multiplier, shift;
} operand;

bool pe_add_s8__armv7em(const pe_call *c)
{
    const pe_add_params *p = c->params;
    operand a = {c->data[0], p->a_zero_point, p->a_multiplier, p->a_shift};
    operand b = {c->data[1], p->b_zero_point, p->b_multiplier, p->b_shift};
    const pe_channel out = {0, p->y_multiplier, p->y_shift};
    const uint32_t n = c->tensor[2]->bytes;
    if (a.multiplier != 1 << 30 || a.shift != 0) {
        const operand other = a;
        a = b;
        b = other;
    }
    const bool is_half = a.multiplier == 1 << 30 && a.shift == 0;
    if (c->tensor[0]->bytes != n || c->tensor[1]->bytes != n || p->left_shift != 20 || !is_half || b.shift < 1 ||
        !pe_armv7em_is_fast(&(pe_channel){0, b.multiplier, b.shift}) || !pe_armv7em_is_fast(&out))
        return false;
    int8_t *const y = c->data[2];
    const pe_armv7em_add t = {
        .a = a.x,
        .b = b.x,
        .y = y,
        .y_end = y + n,
        .a_offset = -a.zero_point * (1 << 19),
        .b_offset = -b.zero_point * (1 << 20),
        .b_twice = (uint32_t)b.multiplier << 1,
        .b_half = 1 << (b.shift - 1),
        .b_shift = (uint32_t)b.shift,
        .y_twice = (uint32_t)p->y_multiplier << 1,
        .y_shift_less_1 = (uint32_t)p->y_shift - 1,
        .offset = 2 * p->y_zero_point + 1,
    };
    pe_armv7em_add_s8(&t);
    pe_armv7em_clamp(y, n, &(pe_output_s8){p->y_zero_point, p->y_min, p->y_max});
    return true;
}
