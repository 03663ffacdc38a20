#include "functions.h"
#include "typed.h"

/* unary_any: y = f(x) of any dtype. float16 and bfloat16 go through float32 and are rounded once more; float64 has the
 * functions that are exact or one rounding; integers wrap. y may be x's memory where the dtypes are equal. */

static bool is_integer_function(uint32_t f)
{
    return f == PE_FN_ABS || f == PE_FN_NEG || f == PE_FN_SIGN || f == PE_FN_SQUARE || f == PE_FN_BITWISE_NOT ||
           f == PE_FN_FLOOR || f == PE_FN_CEIL || f == PE_FN_ROUND;
}

static bool takes(uint8_t dtype, uint32_t f)
{
    if (dtype == PE_BOOL)
        return f == PE_FN_NOT;
    if (!pe_is_float_dtype(dtype))
        return is_integer_function(f);
    bool basic = pe_is_basic(f) && f != PE_FN_NOT && f != PE_FN_BITWISE_NOT;
    return basic || (dtype != PE_F64 && (pe_is_exponential(f) || pe_is_trigonometric(f)));
}

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_function_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    (void)scratch_bytes;
    *text = "unary_any: the dtype does not have the function";
    if (!takes(x->dtype, p->function))
        return PE_ERR_SHAPE;
    *text = "unary_any: x and y differ";
    bool fits = y->dtype == (pe_is_bool_function(p->function) ? PE_BOOL : x->dtype) &&
                pe_tensor_elements(x) == pe_tensor_elements(y);
    return fits ? PE_OK : PE_ERR_SHAPE;
}

static int64_t of_integer(uint32_t function, int64_t x)
{
    uint64_t u = (uint64_t)x;
    switch (function) {
    case PE_FN_ABS: return x < 0 ? (int64_t)(0 - u) : x;
    case PE_FN_NEG: return (int64_t)(0 - u);
    case PE_FN_SIGN: return (x > 0) - (x < 0);
    case PE_FN_SQUARE: return (int64_t)(u * u);
    case PE_FN_BITWISE_NOT: return ~x;
    case PE_FN_NOT: return x == 0;
    default: return x; /* rounding */
    }
}

/* Unsigned numbers are their own absolute value; of uint64 pe_load_s64 gives the upper half as negative. */
static int64_t of_unsigned(uint32_t function, int64_t x)
{
    return function == PE_FN_ABS ? x : function == PE_FN_SIGN ? x != 0 : of_integer(function, x);
}

static double round_f64(double x)
{
    double a = pe_abs_f64(x);
    return a < 0x1p+52 ? pe_copysign_f64((a + 0x1p+52) - 0x1p+52, x) : x;
}

static double of_f64(const pe_function_params *p, double x)
{
    double y;
    switch (p->function) {
    case PE_FN_ABS: return pe_abs_f64(x);
    case PE_FN_NEG: return -x;
    case PE_FN_FLOOR: return pe_floor_f64(x);
    case PE_FN_CEIL: return -pe_floor_f64(-x);
    case PE_FN_ROUND: return round_f64(x);
    case PE_FN_SIGN: return x > 0 ? 1 : x < 0 ? -1 : x;
    case PE_FN_SQRT: return pe_sqrt_f64(x);
    case PE_FN_RSQRT: return 1 / pe_sqrt_f64(x);
    case PE_FN_RECIPROCAL: return 1 / x;
    case PE_FN_SQUARE: return x * x;
    case PE_FN_IS_NAN: return x != x;
    case PE_FN_IS_INF:
        return pe_abs_f64(x) <= 0x1.fffffffffffffp+1023 || x != x ? 0 : (double)(x < 0 ? p->alpha : p->beta);
    case PE_FN_LEAKY_RELU: return x >= 0 ? x : (double)p->alpha * x;
    case PE_FN_THRESHOLDED_RELU: return x <= (double)p->alpha ? 0 : x;
    case PE_FN_SOFTSIGN: return x / (1 + pe_abs_f64(x));
    default: /* hard_sigmoid, hard_swish */
        y = (double)p->alpha * x + (double)p->beta;
        y = y <= 0 ? 0 : y >= 1 ? 1 : y;
        return p->function == PE_FN_HARD_SWISH ? x * y : y;
    }
}

static double of_half(const pe_function_params *p, double x)
{
    float value = (float)x; /* exact */
    if (pe_is_basic(p->function))
        return (double)pe_basic_f32(p, value);
    return (double)(pe_is_exponential(p->function) ? pe_exponential_f32(p, value) : pe_trigonometric_f32(p, value));
}

static void run(const pe_call *c)
{
    const pe_function_params *p = c->params;
    uint8_t dtype = c->tensor[0]->dtype, result = c->tensor[1]->dtype;
    bool is_float = pe_is_float_dtype(dtype), is_unsigned = pe_is_unsigned_dtype(dtype);
    for (uint32_t i = 0; i < pe_tensor_elements(c->tensor[0]); i++) {
        if (is_float) {
            double x = pe_load_f64(c->data[0], dtype, i);
            pe_store_f64(c->data[1], result, i, dtype == PE_F64 ? of_f64(p, x) : of_half(p, x));
        } else {
            int64_t x = pe_load_s64(c->data[0], dtype, i);
            pe_store_s64(c->data[1], result, i, (is_unsigned ? of_unsigned : of_integer)(p->function, x));
        }
    }
}

const pe_op_def pe_op_def_unary_any = {
    .kind = PE_OP_UNARY_ANY,
    .params_bytes = sizeof(pe_function_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "unary_any",
    .check = check,
    .run = run,
};
