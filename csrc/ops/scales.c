#include "math_f32.h"
#include "typed.h"

/* quantize_any: y = x / scale + zero point; dequantize_any: y = (x - zero point) * scale; in float32, for every number
 * format, with one scale, one for each slice of an axis, or one for each block (docs/arithmetic.md, "Quantize linear"). */

static uint64_t scales_of(const pe_call *c)
{
    const pe_scales_params *p = c->params;
    if (p->block)
        return (uint64_t)p->outer * ((p->axis + p->block - 1) / p->block) * p->inner;
    return pe_tensor_elements(c->tensor[1]) == 1 ? 1 : p->axis;
}

static bool fits(const pe_call *c, const pe_tensor *codes)
{
    const pe_scales_params *p = c->params;
    const pe_tensor *y = c->tensor[c->inputs];
    uint32_t n = pe_tensor_elements(c->tensor[0]);
    bool is_signed = p->format == PE_FORMAT_S4 || p->format == PE_FORMAT_S2;
    bool format = p->format == PE_FORMAT_NONE
                      ? !pe_is_float_dtype(codes->dtype) && codes->dtype != PE_BOOL && pe_dtype_shift(codes->dtype) <= 2
                      : p->format <= PE_FORMAT_U2 && p->format != PE_FORMAT_F8_E8M0 &&
                            codes->dtype == (is_signed ? PE_S8 : PE_U8);
    bool extents = p->outer > 0 && p->axis > 0 && p->inner > 0 && n % p->inner == 0 && n / p->inner % p->axis == 0 &&
                   n / p->inner / p->axis == p->outer && p->saturate <= 1;
    return format && extents && pe_tensor_elements(y) == n && pe_is_float_dtype(c->tensor[1]->dtype) &&
           pe_tensor_elements(c->tensor[1]) == scales_of(c) &&
           (c->inputs < 3 || !c->tensor[2] ||
            (c->tensor[2]->dtype == codes->dtype && pe_tensor_elements(c->tensor[2]) == scales_of(c)));
}

static pe_status check_quantize(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    uint8_t x = c->tensor[0]->dtype;
    (void)scratch_bytes;
    *text = "quantize_any: dtypes, lengths or params";
    return (pe_is_float_dtype(x) || x == PE_S32) && fits(c, c->tensor[c->inputs]) ? PE_OK : PE_ERR_SHAPE;
}

static pe_status check_dequantize(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    *text = "dequantize_any: dtypes, lengths or params";
    return pe_is_float_dtype(c->tensor[c->inputs]->dtype) && fits(c, c->tensor[0]) ? PE_OK : PE_ERR_SHAPE;
}

/* The number of the scale of element i. */
static uint32_t scale_of(const pe_scales_params *p, uint32_t scales, uint32_t i)
{
    if (scales == 1)
        return 0;
    uint32_t inner = i % p->inner, axis = i / p->inner % p->axis, outer = i / p->inner / p->axis;
    if (!p->block)
        return axis;
    return (outer * ((p->axis + p->block - 1) / p->block) + axis / p->block) * p->inner + inner;
}

/* A code as a number: a float format is decoded, an integer is itself. */
static double number_of(uint32_t format, const void *codes, uint8_t dtype, uint32_t i)
{
    if (format && pe_format_of((int32_t)format).specials != PE_SPECIALS_INTEGER)
        return pe_decode(pe_format_of((int32_t)format), ((const uint8_t *)codes)[i]);
    return (double)pe_load_s64(codes, dtype, i);
}

static void code_of(const pe_scales_params *p, void *codes, uint8_t dtype, uint32_t i, float x, double zero_point)
{
    pe_number_format f = {.specials = PE_SPECIALS_INTEGER};
    if (p->format)
        f = pe_format_of((int32_t)p->format);
    else
        f.mantissa_bits = (uint8_t)(8u << pe_dtype_shift(dtype)), f.bias = !pe_is_unsigned_dtype(dtype);
    if (f.specials != PE_SPECIALS_INTEGER) {
        int overflow = p->saturate ? PE_OVERFLOW_SATURATE : PE_OVERFLOW_SPECIAL;
        ((uint8_t *)codes)[i] = (uint8_t)pe_encode(f, (double)x + zero_point, overflow);
        return;
    }
    int64_t range = 1ll << f.mantissa_bits, min = f.bias ? -(range / 2) : 0;
    double q = (double)pe_round_f32(x) + zero_point;
    pe_store_s64(codes, dtype, i, pe_saturate_s64(q, min, min + range - 1));
}

static void run_quantize(const pe_call *c)
{
    const pe_scales_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *s = c->tensor[1], *y = c->tensor[c->inputs];
    const void *zeros = c->inputs > 2 && c->tensor[2] ? c->data[2] : NULL;
    uint32_t scales = pe_tensor_elements(s);
    for (uint32_t i = 0; i < pe_tensor_elements(x); i++) {
        uint32_t k = scale_of(p, scales, i);
        float value = (float)pe_load_f64(c->data[0], x->dtype, i) / (float)pe_load_f64(c->data[1], s->dtype, k);
        code_of(p, c->data[c->inputs], y->dtype, i, value, zeros ? number_of(p->format, zeros, y->dtype, k) : 0);
    }
}

static void run_dequantize(const pe_call *c)
{
    const pe_scales_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *s = c->tensor[1], *y = c->tensor[c->inputs];
    const void *zeros = c->inputs > 2 && c->tensor[2] ? c->data[2] : NULL;
    uint32_t scales = pe_tensor_elements(s);
    for (uint32_t i = 0; i < pe_tensor_elements(x); i++) {
        uint32_t k = scale_of(p, scales, i);
        double code = number_of(p->format, c->data[0], x->dtype, i);
        double zero_point = zeros ? number_of(p->format, zeros, x->dtype, k) : 0;
        float value = (float)(code - zero_point) * (float)pe_load_f64(c->data[1], s->dtype, k);
        pe_store_f64(c->data[c->inputs], y->dtype, i, (double)value);
    }
}

const pe_op_def pe_op_def_quantize_any = {
    .kind = PE_OP_QUANTIZE_ANY,
    .params_bytes = sizeof(pe_scales_params),
    .min_inputs = 2,
    .max_inputs = 3,
    .optional = 1 << 2,
    .outputs = 1,
    .name = "quantize_any",
    .check = check_quantize,
    .run = run_quantize,
};

const pe_op_def pe_op_def_dequantize_any = {
    .kind = PE_OP_DEQUANTIZE_ANY,
    .params_bytes = sizeof(pe_scales_params),
    .min_inputs = 2,
    .max_inputs = 3,
    .optional = 1 << 2,
    .outputs = 1,
    .name = "dequantize_any",
    .check = check_dequantize,
    .run = run_dequantize,
};
