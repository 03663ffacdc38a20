#include "kernels/fma.h"
#include "ops.h"

/* any_ge: y[0] = some x >= threshold. NaN is not. The gate of early exits. */

static pe_status check(const pe_call *c, uint8_t dtype, const char **text)
{
    *text = "any_ge: x of another dtype, or y is not one bool";
    return c->tensor[0]->dtype == dtype && c->tensor[1]->dtype == PE_BOOL && c->tensor[1]->bytes == 1 ? PE_OK
                                                                                                      : PE_ERR_SHAPE;
}

static pe_status check_s8(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    return check(c, PE_S8, text);
}

static void run_s8(const pe_call *c)
{
    const int8_t *x = c->data[0];
    int32_t threshold = ((const pe_any_ge_params *)c->params)->threshold;
    uint8_t found = 0;
    for (uint32_t i = 0; i < c->tensor[0]->bytes && !found; i++)
        found = x[i] >= threshold;
    *(uint8_t *)c->data[1] = found;
}

static pe_status check_f32(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    return check(c, PE_F32, text);
}

static void run_f32(const pe_call *c)
{
    const float *x = c->data[0];
    float threshold = ((const pe_any_ge_params *)c->params)->f_threshold;
    uint8_t found = 0;
    for (uint32_t i = 0; i < pe_tensor_elements(c->tensor[0]) && !found; i++)
        found = (uint8_t)pe_float_le(threshold, x[i]);
    *(uint8_t *)c->data[1] = found;
}

const pe_op_def pe_op_def_any_ge_s8 = {
    .kind = PE_OP_ANY_GE_S8,
    .params_bytes = sizeof(pe_any_ge_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "any_ge_s8",
    .check = check_s8,
    .run = run_s8,
};

const pe_op_def pe_op_def_any_ge_f32 = {
    .kind = PE_OP_ANY_GE_F32,
    .params_bytes = sizeof(pe_any_ge_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "any_ge_f32",
    .check = check_f32,
    .run = run_f32,
};
