#include "broadcast.h"
#include "check.h"
#include "fixed.h"
#include "functions.h"

/* binary_s8: sub, mul, div, min, max, squared_difference, prelu and comparisons of int8 as TFLite's reference kernels, NumPy
 * broadcasting (docs/arithmetic.md, "Elementwise, int8"). y may be the memory of an operand that has y's shape. */

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_binary_s8_params *p = c->params;
    uint32_t f = p->function;
    (void)scratch_bytes;
    *text = "binary_s8: no such function on int8";
    if (f != PE_FN_SUB && f != PE_FN_MUL && f != PE_FN_DIV && f != PE_FN_MIN && f != PE_FN_MAX &&
        f != PE_FN_SQUARED_DIFFERENCE && f != PE_FN_PRELU && !pe_is_comparison(f))
        return PE_ERR_SHAPE;
    *text = "binary_s8: dtypes, or shapes that do not broadcast to the output's";
    if (c->tensor[0]->dtype != PE_S8 || c->tensor[1]->dtype != PE_S8 ||
        c->tensor[2]->dtype != (pe_is_comparison(f) ? PE_BOOL : PE_S8) || !pe_broadcasts(c, 2))
        return PE_ERR_SHAPE;
    *text = "binary_s8: params";
    bool good = pe_is_s8(p->a_zero_point) && pe_is_s8(p->b_zero_point) && pe_is_s8(p->y_zero_point) &&
                p->left_shift >= 0 && p->left_shift <= 22 && pe_is_multiplier(p->a_multiplier, p->a_shift) &&
                pe_is_multiplier(p->b_multiplier, p->b_shift) && pe_is_multiplier(p->y_multiplier, p->y_shift) &&
                pe_is_range_s8(p->y_min, p->y_max);
    return good ? PE_OK : PE_ERR_SHAPE;
}

/* An operand without its zero point, shifted left and scaled. */
static int32_t scaled(int32_t x, int32_t left_shift, int32_t multiplier, int32_t shift)
{
    return pe_requantize(pe_shift_left(x, left_shift), multiplier, shift);
}

/* a / b, requantized; by 0 the largest or smallest number there is, 0 / 0 is 0. |a|, |b| <= 255. */
static int32_t quotient(int32_t a, int32_t b, int32_t multiplier, int32_t shift)
{
    if (b == 0)
        return a > 0 ? INT32_MAX / 2 : a < 0 ? INT32_MIN / 2 : 0;
    a = b < 0 ? -a : a;
    b = b < 0 ? -b : b;
    int32_t zeros = pe_leading_zeros((uint32_t)b);
    int32_t inverse = pe_reciprocal((int32_t)(((uint32_t)b << zeros) - (1u << 31)));
    int32_t room = pe_leading_zeros((uint32_t)(a < 0 ? -a - 1 : a)) - 1;
    int32_t unscaled = pe_srdhm(pe_shift_left(a, room), inverse);
    int32_t right = shift + 31 - zeros + room;
    if (right > 31)
        return 0;
    return pe_rdbpot(pe_srdhm(unscaled, multiplier & INT32_MAX), right < 0 ? 0 : right);
}

static int8_t of(const pe_binary_s8_params *p, const pe_output_s8 *out, int32_t a, int32_t b)
{
    int32_t x = a - p->a_zero_point, z = b - p->b_zero_point;
    uint32_t difference;
    switch (p->function) {
    case PE_FN_MIN: return (int8_t)(a < b ? a : b);
    case PE_FN_MAX: return (int8_t)(a > b ? a : b);
    case PE_FN_MUL: return pe_requantize_s8((uint32_t)(x * z), p->y_multiplier, p->y_shift, out);
    case PE_FN_DIV: return pe_output_to_s8(quotient(x, z, p->y_multiplier, p->y_shift), out);
    case PE_FN_PRELU:
        return x >= 0 ? pe_requantize_s8((uint32_t)x, p->a_multiplier, p->a_shift, out)
                      : pe_requantize_s8((uint32_t)(x * z), p->b_multiplier, p->b_shift, out);
    default:
        difference = (uint32_t)scaled(x, p->left_shift, p->a_multiplier, p->a_shift) -
                     (uint32_t)scaled(z, p->left_shift, p->b_multiplier, p->b_shift);
        if (p->function == PE_FN_SQUARED_DIFFERENCE)
            difference *= difference;
        return pe_requantize_s8(difference, p->y_multiplier, p->y_shift, out);
    }
}

static void run(const pe_call *c)
{
    const pe_binary_s8_params *p = c->params;
    const int8_t *a = c->data[0], *b = c->data[1];
    int8_t *y = c->data[2];
    const pe_output_s8 out = {p->y_zero_point, p->y_min, p->y_max};
    bool is_comparison = pe_is_comparison(p->function);
    pe_walk w = pe_walk_start(c, 2);
    for (uint32_t i = 0; i < c->tensor[2]->bytes; i++, pe_walk_next(&w, 2)) {
        int32_t av = a[w.at[0]], bv = b[w.at[1]];
        if (is_comparison)
            y[i] = pe_compare_s32(p->function, scaled(av - p->a_zero_point, p->left_shift, p->a_multiplier, p->a_shift),
                                  scaled(bv - p->b_zero_point, p->left_shift, p->b_multiplier, p->b_shift));
        else
            y[i] = of(p, &out, av, bv);
    }
}

const pe_op_def pe_op_def_binary_s8 = {
    .kind = PE_OP_BINARY_S8,
    .params_bytes = sizeof(pe_binary_s8_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "binary_s8",
    .check = check,
    .run = run,
};
