#include "broadcast.h"
#include "functions.h"
#include "remainder.h"
#include "typed.h"

/* binary_any: y = f(a, b) of any dtype, NumPy broadcasting. Floats in float64 and rounded once, which gives float16 and
 * bfloat16 the nearest result; pow and atan2 of those by float32. Integers wrap; a division by 0 gives 0. */

static bool takes(uint8_t dtype, uint32_t f)
{
    bool compares = pe_is_comparison(f);
    if (dtype == PE_BOOL)
        return compares || (f >= PE_FN_AND && f <= PE_FN_XOR);
    bool arithmetic = compares || (f >= PE_FN_ADD && f <= PE_FN_FMOD);
    if (pe_is_float_dtype(dtype))
        return arithmetic || (dtype != PE_F64 && (f == PE_FN_POW || f == PE_FN_ATAN2));
    return arithmetic || (f >= PE_FN_BITWISE_AND && f <= PE_FN_SHIFT_RIGHT) || f == PE_FN_POW;
}

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_function_params *p = c->params;
    uint8_t dtype = c->tensor[0]->dtype;
    (void)scratch_bytes;
    *text = "binary_any: the dtype does not have the function";
    if (!takes(dtype, p->function))
        return PE_ERR_SHAPE;
    *text = "binary_any: dtypes, or shapes that do not broadcast to the output's";
    bool fits = c->tensor[1]->dtype == dtype &&
                c->tensor[2]->dtype == (pe_is_bool_function(p->function) ? PE_BOOL : dtype) && pe_broadcasts(c, 2);
    return fits ? PE_OK : PE_ERR_SHAPE;
}

static uint64_t power(uint64_t base, uint64_t exponent)
{
    uint64_t y = 1;
    for (; exponent; exponent >>= 1, base *= base)
        y *= exponent & 1 ? base : 1;
    return y;
}

/* What signed and unsigned numbers have alike, modulo 2^64. */
static int64_t of_bits(uint32_t function, uint64_t a, uint64_t b)
{
    switch (function) {
    case PE_FN_ADD: return (int64_t)(a + b);
    case PE_FN_SUB: return (int64_t)(a - b);
    case PE_FN_MUL: return (int64_t)(a * b);
    case PE_FN_SQUARED_DIFFERENCE: return (int64_t)((a - b) * (a - b));
    case PE_FN_AND: return a && b;
    case PE_FN_OR: return a || b;
    case PE_FN_XOR: return !a != !b;
    case PE_FN_BITWISE_AND: return (int64_t)(a & b);
    case PE_FN_BITWISE_OR: return (int64_t)(a | b);
    case PE_FN_BITWISE_XOR: return (int64_t)(a ^ b);
    case PE_FN_SHIFT_LEFT: return b < 64 ? (int64_t)(a << b) : 0;
    case PE_FN_EQUAL: return a == b;
    default: return a != b;
    }
}

static int64_t of_signed(uint32_t function, int64_t a, int64_t b)
{
    bool divides = b != 0 && !(a == INT64_MIN && b == -1);
    int64_t rest = divides ? a % b : 0;
    switch (function) {
    case PE_FN_DIV: return divides ? a / b : b ? a : 0;
    case PE_FN_FLOOR_DIV: return divides ? a / b - (rest && (rest < 0) != (b < 0)) : b ? a : 0;
    case PE_FN_MOD: return rest && (rest < 0) != (b < 0) ? rest + b : rest;
    case PE_FN_FMOD: return rest;
    case PE_FN_MIN: return a < b ? a : b;
    case PE_FN_MAX: return a > b ? a : b;
    case PE_FN_PRELU: return a < 0 ? (int64_t)((uint64_t)a * (uint64_t)b) : a;
    case PE_FN_SHIFT_RIGHT: return b < 0 || b > 63 ? (a < 0 ? -1 : 0) : a >> b;
    case PE_FN_LESS: return a < b;
    case PE_FN_LESS_EQUAL: return a <= b;
    case PE_FN_GREATER: return a > b;
    case PE_FN_GREATER_EQUAL: return a >= b;
    case PE_FN_POW:
        if (b < 0)
            return a == 1 ? 1 : a == -1 ? (b & 1 ? -1 : 1) : 0;
        return (int64_t)power((uint64_t)a, (uint64_t)b);
    default: return of_bits(function, (uint64_t)a, (uint64_t)b);
    }
}

static int64_t of_unsigned(uint32_t function, uint64_t a, uint64_t b)
{
    switch (function) {
    case PE_FN_DIV:
    case PE_FN_FLOOR_DIV: return b ? (int64_t)(a / b) : 0;
    case PE_FN_MOD:
    case PE_FN_FMOD: return b ? (int64_t)(a % b) : 0;
    case PE_FN_MIN: return (int64_t)(a < b ? a : b);
    case PE_FN_MAX: return (int64_t)(a > b ? a : b);
    case PE_FN_PRELU: return (int64_t)a;
    case PE_FN_SHIFT_RIGHT: return b < 64 ? (int64_t)(a >> b) : 0;
    case PE_FN_LESS: return a < b;
    case PE_FN_LESS_EQUAL: return a <= b;
    case PE_FN_GREATER: return a > b;
    case PE_FN_GREATER_EQUAL: return a >= b;
    case PE_FN_POW: return (int64_t)power(a, b);
    default: return of_bits(function, a, b);
    }
}

static double fmod_f64(double a, double b)
{
    uint64_t x = pe_double_bits(pe_abs_f64(a)), y = pe_double_bits(pe_abs_f64(b));
    if (x >= 0x7FF0000000000000 || y > 0x7FF0000000000000 || y == 0)
        return pe_double_from_bits(0x7FF8000000000000);
    if (x < y)
        return a;
    int32_t ex = x >> 52 ? (int32_t)(x >> 52) : 1, ey = y >> 52 ? (int32_t)(y >> 52) : 1;
    const uint64_t one = 1ull << 52;
    uint64_t rest =
        pe_long_remainder(x >> 52 ? (x & (one - 1)) | one : x, y >> 52 ? (y & (one - 1)) | one : y, ex - ey);
    for (; rest && ey > 1 && !(rest >> 52); ey--)
        rest <<= 1;
    return pe_copysign_f64(pe_double_from_bits(rest >> 52 ? (rest & (one - 1)) | (uint64_t)ey << 52 : rest), a);
}

static double of_f64(uint32_t function, double a, double b)
{
    double rest;
    switch (function) {
    case PE_FN_ADD: return a + b;
    case PE_FN_SUB: return a - b;
    case PE_FN_MUL: return a * b;
    case PE_FN_DIV: return a / b;
    case PE_FN_MIN: return a != a || a <= b ? a : b;
    case PE_FN_MAX: return a != a || a >= b ? a : b;
    case PE_FN_PRELU: return a >= 0 ? a : a * b;
    case PE_FN_SQUARED_DIFFERENCE: return (a - b) * (a - b);
    case PE_FN_FLOOR_DIV: return pe_floor_f64(a / b);
    case PE_FN_MOD:
        rest = fmod_f64(a, b);
        if (rest == 0)
            return pe_copysign_f64(rest, b);
        return (rest < 0) != (b < 0) && rest == rest ? rest + b : rest;
    case PE_FN_FMOD: return fmod_f64(a, b);
    case PE_FN_EQUAL: return a == b;
    case PE_FN_NOT_EQUAL: return a != b;
    case PE_FN_LESS: return a < b;
    case PE_FN_LESS_EQUAL: return a <= b;
    case PE_FN_GREATER: return a > b;
    case PE_FN_GREATER_EQUAL: return a >= b;
    case PE_FN_POW: return (double)pe_pow_f32((float)a, (float)b);
    default: return (double)pe_atan2_f32((float)a, (float)b);
    }
}

static void run(const pe_call *c)
{
    uint32_t function = ((const pe_function_params *)c->params)->function;
    uint8_t dtype = c->tensor[0]->dtype, result = c->tensor[2]->dtype;
    bool is_float = pe_is_float_dtype(dtype), is_unsigned = pe_is_unsigned_dtype(dtype);
    pe_walk w = pe_walk_start(c, 2);
    for (uint32_t i = 0; i < pe_tensor_elements(c->tensor[2]); i++, pe_walk_next(&w, 2)) {
        if (is_float) {
            double a = pe_load_f64(c->data[0], dtype, w.at[0]), b = pe_load_f64(c->data[1], dtype, w.at[1]);
            pe_store_f64(c->data[2], result, i, of_f64(function, a, b));
        } else {
            int64_t a = pe_load_s64(c->data[0], dtype, w.at[0]), b = pe_load_s64(c->data[1], dtype, w.at[1]);
            int64_t y = is_unsigned ? of_unsigned(function, (uint64_t)a, (uint64_t)b) : of_signed(function, a, b);
            pe_store_s64(c->data[2], result, i, y);
        }
    }
}

const pe_op_def pe_op_def_binary_any = {
    .kind = PE_OP_BINARY_ANY,
    .params_bytes = sizeof(pe_function_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "binary_any",
    .check = check,
    .run = run,
};
