#include "broadcast.h"
#include "check.h"
#include "functions.h"
#include "s16.h"

/* binary_s16: functions of two int16 operands with zero point 0 as TFLite's reference kernels, NumPy broadcasting
 * (docs/arithmetic.md, "int16"). y may be the memory of an operand that has y's shape. */

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_binary_s8_params *p = c->params;
    uint32_t f = p->function;
    (void)scratch_bytes;
    *text = "binary_s16: no such function on int16";
    if (f != PE_FN_ADD && f != PE_FN_SUB && f != PE_FN_MUL && f != PE_FN_MIN && f != PE_FN_MAX &&
        f != PE_FN_SQUARED_DIFFERENCE && !pe_is_comparison(f))
        return PE_ERR_SHAPE;
    *text = "binary_s16: dtypes, or shapes that do not broadcast to the output's";
    if (c->tensor[0]->dtype != PE_S16 || c->tensor[1]->dtype != PE_S16 ||
        c->tensor[2]->dtype != (pe_is_comparison(f) ? PE_BOOL : PE_S16) || !pe_broadcasts(c, 2))
        return PE_ERR_SHAPE;
    *text = "binary_s16: params";
    bool good = p->a_zero_point == 0 && p->b_zero_point == 0 && p->y_zero_point == 0 && p->left_shift >= 0 &&
                p->left_shift <= 15 && pe_is_multiplier(p->a_multiplier, p->a_shift) &&
                pe_is_multiplier(p->b_multiplier, p->b_shift) && pe_is_multiplier(p->y_multiplier, p->y_shift) &&
                pe_is_range_s16(p->y_min, p->y_max);
    return good ? PE_OK : PE_ERR_SHAPE;
}

static int32_t of(const pe_binary_s8_params *p, int32_t a, int32_t b)
{
    uint32_t result;
    if (p->function == PE_FN_MIN)
        return a < b ? a : b;
    if (p->function == PE_FN_MAX)
        return a > b ? a : b;
    if (p->function == PE_FN_MUL)
        return pe_requantize(a * b, p->y_multiplier, p->y_shift);
    a = pe_requantize(pe_shift_left(a, p->left_shift), p->a_multiplier, p->a_shift);
    b = pe_requantize(pe_shift_left(b, p->left_shift), p->b_multiplier, p->b_shift);
    result = p->function == PE_FN_ADD ? (uint32_t)a + (uint32_t)b : (uint32_t)a - (uint32_t)b;
    if (p->function == PE_FN_SQUARED_DIFFERENCE)
        result *= result;
    return pe_requantize((int32_t)result, p->y_multiplier, p->y_shift);
}

static void run(const pe_call *c)
{
    const pe_binary_s8_params *p = c->params;
    const int16_t *a = c->data[0], *b = c->data[1];
    const bool is_comparison = pe_is_comparison(p->function);
    pe_walk w = pe_walk_start(c, 2);
    for (uint32_t i = 0; i < pe_tensor_elements(c->tensor[2]); i++, pe_walk_next(&w, 2)) {
        int32_t av = a[w.at[0]], bv = b[w.at[1]];
        if (is_comparison)
            ((uint8_t *)c->data[2])[i] = pe_compare_s32(p->function, av, bv);
        else
            ((int16_t *)c->data[2])[i] = (int16_t)pe_clamp_s32(of(p, av, bv), p->y_min, p->y_max);
    }
}

const pe_op_def pe_op_def_binary_s16 = {
    .kind = PE_OP_BINARY_S16,
    .params_bytes = sizeof(pe_binary_s8_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "binary_s16",
    .check = check,
    .run = run,
};
