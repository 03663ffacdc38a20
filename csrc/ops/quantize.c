#include "check.h"
#include "ops.h"
#include "requantize.h"
#include "round.h"
#include "s16.h"

/* quantize, dequantize, requantize: elementwise between float32 and int8 or int16. y may be x's memory where the types are equal. */

static bool is_unary(const pe_call *c, uint8_t from, uint8_t to)
{
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    return x->dtype == from && y->dtype == to && pe_tensor_elements(x) == pe_tensor_elements(y);
}

static bool is_scale(float scale)
{
    return pe_is_finite(scale) && (int32_t)pe_float_bits(scale) > 0;
}

static pe_status check_f32_s8(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_quantize_params *p = c->params;
    (void)scratch_bytes;
    *text = "quantize_f32_s8: dtypes, lengths or params";
    return is_unary(c, PE_F32, PE_S8) && is_scale(p->scale) && pe_is_s8(p->y_zero_point) &&
                   pe_is_range_s8(p->y_min, p->y_max)
               ? PE_OK
               : PE_ERR_SHAPE;
}

static void run_f32_s8(const pe_call *c)
{
    const pe_quantize_params *p = c->params;
    const float *x = c->data[0];
    int8_t *y = c->data[1];
    for (uint32_t i = 0; i < c->tensor[1]->bytes; i++)
        y[i] = (int8_t)pe_clamp_s32(pe_round_half_away(x[i] / p->scale) + p->y_zero_point, p->y_min, p->y_max);
}

static pe_status check_s8_f32(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_quantize_params *p = c->params;
    (void)scratch_bytes;
    *text = "dequantize_s8_f32: dtypes, lengths or params";
    return is_unary(c, PE_S8, PE_F32) && is_scale(p->scale) && pe_is_s8(p->x_zero_point) ? PE_OK : PE_ERR_SHAPE;
}

static void run_s8_f32(const pe_call *c)
{
    const pe_quantize_params *p = c->params;
    const int8_t *x = c->data[0];
    float *y = c->data[1];
    for (uint32_t i = 0; i < c->tensor[0]->bytes; i++)
        y[i] = p->scale * (float)(x[i] - p->x_zero_point);
}

static pe_status check_f32_s16(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_quantize_params *p = c->params;
    (void)scratch_bytes;
    *text = "quantize_f32_s16: dtypes, lengths or params";
    return is_unary(c, PE_F32, PE_S16) && is_scale(p->scale) && pe_is_s16(p->y_zero_point) &&
                   pe_is_range_s16(p->y_min, p->y_max)
               ? PE_OK
               : PE_ERR_SHAPE;
}

static void run_f32_s16(const pe_call *c)
{
    const pe_quantize_params *p = c->params;
    const float *x = c->data[0];
    int16_t *y = c->data[1];
    for (uint32_t i = 0; i < pe_tensor_elements(c->tensor[1]); i++)
        y[i] = (int16_t)pe_clamp_s32(pe_round_half_away(x[i] / p->scale) + p->y_zero_point, p->y_min, p->y_max);
}

static pe_status check_s16_f32(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_quantize_params *p = c->params;
    (void)scratch_bytes;
    *text = "dequantize_s16_f32: dtypes, lengths or params";
    return is_unary(c, PE_S16, PE_F32) && is_scale(p->scale) && pe_is_s16(p->x_zero_point) ? PE_OK : PE_ERR_SHAPE;
}

static void run_s16_f32(const pe_call *c)
{
    const pe_quantize_params *p = c->params;
    const int16_t *x = c->data[0];
    float *y = c->data[1];
    for (uint32_t i = 0; i < pe_tensor_elements(c->tensor[0]); i++)
        y[i] = p->scale * (float)(x[i] - p->x_zero_point);
}

static pe_status check_s8(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_quantize_params *p = c->params;
    (void)scratch_bytes;
    *text = "requantize_s8: dtypes, lengths or params";
    return is_unary(c, PE_S8, PE_S8) && pe_is_s8(p->x_zero_point) && pe_is_s8(p->y_zero_point) &&
                   pe_is_multiplier(p->multiplier, p->shift) && pe_is_range_s8(p->y_min, p->y_max)
               ? PE_OK
               : PE_ERR_SHAPE;
}

static void run_s8(const pe_call *c)
{
    const pe_quantize_params *p = c->params;
    const int8_t *x = c->data[0];
    int8_t *y = c->data[1];
    const pe_output_s8 out = {p->y_zero_point, p->y_min, p->y_max};
    for (uint32_t i = 0; i < c->tensor[1]->bytes; i++)
        y[i] = pe_requantize_s8((uint32_t)(x[i] - p->x_zero_point), p->multiplier, p->shift, &out);
}

const pe_op_def pe_op_def_quantize_f32_s8 = {
    .kind = PE_OP_QUANTIZE_F32_S8,
    .params_bytes = sizeof(pe_quantize_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "quantize_f32_s8",
    .check = check_f32_s8,
    .run = run_f32_s8,
};

const pe_op_def pe_op_def_dequantize_s8_f32 = {
    .kind = PE_OP_DEQUANTIZE_S8_F32,
    .params_bytes = sizeof(pe_quantize_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "dequantize_s8_f32",
    .check = check_s8_f32,
    .run = run_s8_f32,
};

const pe_op_def pe_op_def_quantize_f32_s16 = {
    .kind = PE_OP_QUANTIZE_F32_S16,
    .params_bytes = sizeof(pe_quantize_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "quantize_f32_s16",
    .check = check_f32_s16,
    .run = run_f32_s16,
};

const pe_op_def pe_op_def_dequantize_s16_f32 = {
    .kind = PE_OP_DEQUANTIZE_S16_F32,
    .params_bytes = sizeof(pe_quantize_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "dequantize_s16_f32",
    .check = check_s16_f32,
    .run = run_s16_f32,
};

const pe_op_def pe_op_def_requantize_s8 = {
    .kind = PE_OP_REQUANTIZE_S8,
    .params_bytes = sizeof(pe_quantize_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "requantize_s8",
    .check = check_s8,
    .run = run_s8,
};
