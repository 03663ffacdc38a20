#include "kernels/f16.h"
#include "kernels/kernels.h"
#include "typed.h"

/* cast: y = x as another dtype or number format (docs/arithmetic.md, "Cast"). Formats have one code in a byte. */

/* The bytes that hold codes of a format: signed integers are int8, all else is uint8. */
static bool fits_dtype(uint32_t format, uint8_t dtype)
{
    if (format == PE_FORMAT_NONE)
        return true;
    bool is_signed = format == PE_FORMAT_S4 || format == PE_FORMAT_S2;
    return format <= PE_FORMAT_U2 && dtype == (is_signed ? PE_S8 : PE_U8);
}

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_cast_params *p = c->params;
    (void)scratch_bytes;
    *text = "cast: formats, rounding or lengths";
    bool fits = fits_dtype(p->x_format, c->tensor[0]->dtype) && fits_dtype(p->y_format, c->tensor[1]->dtype) &&
                p->saturate <= 1 && p->rounding <= PE_SCALE_NEAREST &&
                pe_tensor_elements(c->tensor[0]) == pe_tensor_elements(c->tensor[1]);
    return fits ? PE_OK : PE_ERR_SHAPE;
}

static bool is_integer(uint32_t format, uint8_t dtype)
{
    return format ? pe_format_of((int32_t)format).specials == PE_SPECIALS_INTEGER : !pe_is_float_dtype(dtype);
}

/* The low bits of x, sign-extended where the format is signed. */
static int64_t wrap(pe_number_format f, int64_t x)
{
    uint64_t low = (uint64_t)x & ((1u << f.mantissa_bits) - 1);
    bool negative = f.bias && low >> (f.mantissa_bits - 1);
    return (int64_t)low - (negative ? 1 << f.mantissa_bits : 0);
}

static void store_float(const pe_cast_params *p, void *data, uint8_t dtype, uint32_t i, double x)
{
    if (p->y_format == PE_FORMAT_NONE) {
        pe_store_f64(data, dtype, i, x);
        return;
    }
    pe_number_format f = pe_format_of((int32_t)p->y_format);
    uint8_t *codes = data;
    if (f.specials == PE_SPECIALS_INTEGER)
        codes[i] = (uint8_t)wrap(f, pe_saturate_s64(x, INT32_MIN, INT32_MAX));
    else if (f.specials == PE_SPECIALS_SCALE)
        codes[i] =
            (uint8_t)pe_encode_scale(x, (int)p->rounding, p->saturate ? PE_OVERFLOW_SATURATE : PE_OVERFLOW_SPECIAL);
    else
        codes[i] = (uint8_t)pe_encode(f, x, p->saturate ? PE_OVERFLOW_SATURATE : PE_OVERFLOW_SPECIAL);
}

/* What training casts: between float32 and float16, without the way over float64. */
static bool run_f16(const pe_call *c)
{
    const pe_cast_params *p = c->params;
    const uint8_t from = c->tensor[0]->dtype, to = c->tensor[1]->dtype;
    const uint32_t n = pe_tensor_elements(c->tensor[0]);
    if (p->x_format || p->y_format)
        return false;
    const bool narrows = from == PE_F32 && to == PE_F16, widens = from == PE_F16 && to == PE_F32;
    const pe_elementwise *by_vectors = c->kernels->elementwise;
    if ((narrows || widens) && by_vectors && by_vectors->cast_float(c))
        return true;
    if (narrows)
        for (uint32_t i = 0; i < n; i++)
            ((uint16_t *)c->data[1])[i] = pe_f16_round(((const float *)c->data[0])[i]);
    else if (widens)
        for (uint32_t i = 0; i < n; i++)
            ((float *)c->data[1])[i] = pe_f16_widen(((const uint16_t *)c->data[0])[i]);
    else
        return false;
    return true;
}

static void run(const pe_call *c)
{
    const pe_cast_params *p = c->params;
    const void *x = c->data[0];
    void *y = c->data[1];
    uint8_t from = c->tensor[0]->dtype, to = c->tensor[1]->dtype;
    if (run_f16(c))
        return;
    bool from_integer = is_integer(p->x_format, from), to_integer = is_integer(p->y_format, to);
    uint32_t n = pe_tensor_elements(c->tensor[0]);
    for (uint32_t i = 0; i < n; i++) {
        if (from_integer && to_integer) {
            int64_t value = pe_load_s64(x, from, i);
            if (p->y_format)
                value = wrap(pe_format_of((int32_t)p->y_format), value);
            pe_store_s64(y, to, i, value);
        } else if (p->x_format && !from_integer) {
            store_float(p, y, to, i, pe_decode(pe_format_of((int32_t)p->x_format), ((const uint8_t *)x)[i]));
        } else if (to == PE_F32 && (from == PE_S64 || from == PE_U64)) { /* one rounding */
            ((float *)y)[i] = from == PE_S64 ? (float)((const int64_t *)x)[i] : (float)((const uint64_t *)x)[i];
        } else {
            store_float(p, y, to, i, pe_load_f64(x, from, i));
        }
    }
}

const pe_op_def pe_op_def_cast = {
    .kind = PE_OP_CAST,
    .params_bytes = sizeof(pe_cast_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "cast",
    .check = check,
    .run = run,
};
