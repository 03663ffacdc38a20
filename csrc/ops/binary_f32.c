#include "broadcast.h"
#include "functions.h"
#include "loops.h"
#include "remainder.h"

/* binary_f32, power_f32: y = f(a, b), NumPy broadcasting. y may be the memory of an operand of its shape and dtype. */

static pe_status check_dtypes(const pe_call *c, const char **text)
{
    const pe_function_params *p = c->params;
    uint8_t result = pe_is_bool_function(p->function) ? PE_BOOL : PE_F32;
    *text = "dtypes, or shapes that do not broadcast to the output's";
    bool fits = c->tensor[0]->dtype == PE_F32 && c->tensor[1]->dtype == PE_F32 && c->tensor[2]->dtype == result &&
                pe_broadcasts(c, 2);
    return fits ? PE_OK : PE_ERR_SHAPE;
}

static pe_status check_binary(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    uint32_t f = ((const pe_function_params *)c->params)->function;
    (void)scratch_bytes;
    *text = "binary_f32: no such function on float32";
    if (!(f >= PE_FN_ADD && f <= PE_FN_FMOD) && !pe_is_comparison(f))
        return PE_ERR_SHAPE;
    return check_dtypes(c, text);
}

static pe_status check_power(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    uint32_t f = ((const pe_function_params *)c->params)->function;
    (void)scratch_bytes;
    *text = "power_f32: no such function";
    return f == PE_FN_POW || f == PE_FN_ATAN2 ? check_dtypes(c, text) : PE_ERR_SHAPE;
}

static pe_loops loops_of(const pe_call *c)
{
    pe_loops l = {0};
    uint32_t stride_a = 1, stride_b = 1;
    for (uint32_t k = 0; k < c->tensor[2]->rank; k++) {
        uint32_t na = pe_dim_from_right(c->tensor[0], k), nb = pe_dim_from_right(c->tensor[1], k);
        pe_loops_add(&l, na > nb ? na : nb, na == 1 ? 0 : stride_a, nb == 1 ? 0 : stride_b);
        stride_a *= na;
        stride_b *= nb;
    }
    pe_loops_end(&l);
    return l;
}

/* A loop for each function, so that the choice is made once. */
#define PE_EACH(expression)                                                                   \
    do {                                                                                      \
        for (uint32_t i = 0, ai = at, bi = bt; i < l.n[0]; i++, ai += l.a[0], bi += l.b[0]) { \
            float a = x[ai], b = z[bi];                                                       \
            *y++ = (expression);                                                              \
        }                                                                                     \
    } while (pe_loops_next(&l, &at, &bt));                                                    \
    break

static void run_float(const pe_call *c)
{
    const float *x = c->data[0], *z = c->data[1];
    float *y = c->data[2];
    pe_loops l = loops_of(c);
    uint32_t at = 0, bt = 0;
    switch (((const pe_function_params *)c->params)->function) {
    case PE_FN_ADD: PE_EACH(a + b);
    case PE_FN_SUB: PE_EACH(a - b);
    case PE_FN_MUL: PE_EACH(a * b);
    case PE_FN_DIV: PE_EACH(a / b);
    case PE_FN_MIN: PE_EACH(pe_min_f32(a, b));
    case PE_FN_MAX: PE_EACH(pe_max_f32(a, b));
    case PE_FN_PRELU: PE_EACH(pe_float_le(0.0f, a) ? a : a * b);
    case PE_FN_SQUARED_DIFFERENCE: PE_EACH((a - b) * (a - b));
    case PE_FN_FLOOR_DIV: PE_EACH(pe_floor_f32(a / b));
    case PE_FN_MOD: PE_EACH(pe_mod_f32(a, b));
    default: PE_EACH(pe_fmod_f32(a, b));
    }
}

static void run_power(const pe_call *c)
{
    const float *x = c->data[0], *z = c->data[1];
    float *y = c->data[2];
    pe_loops l = loops_of(c);
    uint32_t at = 0, bt = 0;
    switch (((const pe_function_params *)c->params)->function) {
    case PE_FN_POW: PE_EACH(pe_pow_f32(a, b));
    default: PE_EACH(pe_atan2_f32(a, b));
    }
}

static void run_compare(const pe_call *c)
{
    const float *x = c->data[0], *z = c->data[1];
    uint8_t *y = c->data[2];
    pe_loops l = loops_of(c);
    uint32_t at = 0, bt = 0;
    switch (((const pe_function_params *)c->params)->function) {
    case PE_FN_EQUAL: PE_EACH(pe_float_le(a, b) && pe_float_le(b, a));
    case PE_FN_NOT_EQUAL: PE_EACH(!(pe_float_le(a, b) && pe_float_le(b, a)));
    case PE_FN_LESS: PE_EACH(pe_float_le(a, b) && !pe_float_le(b, a));
    case PE_FN_LESS_EQUAL: PE_EACH(pe_float_le(a, b) != 0);
    case PE_FN_GREATER: PE_EACH(pe_float_le(b, a) && !pe_float_le(a, b));
    default: PE_EACH(pe_float_le(b, a) != 0);
    }
}

static void run_binary(const pe_call *c)
{
    if (c->tensor[2]->dtype == PE_BOOL)
        run_compare(c);
    else
        run_float(c);
}

const pe_op_def pe_op_def_binary_f32 = {
    .kind = PE_OP_BINARY_F32,
    .params_bytes = sizeof(pe_function_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "binary_f32",
    .check = check_binary,
    .run = run_binary,
};

const pe_op_def pe_op_def_power_f32 = {
    .kind = PE_OP_POWER_F32,
    .params_bytes = sizeof(pe_function_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "power_f32",
    .check = check_power,
    .run = run_power,
};
