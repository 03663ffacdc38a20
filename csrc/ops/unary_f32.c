#include "check.h"
#include "functions.h"
#include "ops.h"

/* unary_f32, exponential_f32, trigonometric_f32: y = f(x), elementwise. y may be x's memory unless it is bool. */

static pe_status check(const pe_call *c, bool (*is_group)(uint32_t), const char **text)
{
    const pe_function_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    *text = "the function is none of this group on float32";
    if (!is_group(p->function) || p->function == PE_FN_NOT || p->function == PE_FN_BITWISE_NOT)
        return PE_ERR_SHAPE;
    *text = "x and y differ, or have other dtypes than the function";
    bool fits = x->dtype == PE_F32 && y->dtype == (pe_is_bool_function(p->function) ? PE_BOOL : PE_F32) &&
                pe_tensor_elements(x) == pe_tensor_elements(y);
    return fits ? PE_OK : PE_ERR_SHAPE;
}

static pe_status check_basic(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    return check(c, pe_is_basic, text);
}

static pe_status check_exponential(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    return check(c, pe_is_exponential, text);
}

static pe_status check_trigonometric(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    return check(c, pe_is_trigonometric, text);
}

static void run_basic(const pe_call *c)
{
    const float *x = c->data[0];
    float *y = c->data[1];
    uint8_t *flag = c->data[1];
    uint32_t n = pe_tensor_elements(c->tensor[0]);
    if (c->tensor[1]->dtype == PE_BOOL) {
        for (uint32_t i = 0; i < n; i++)
            flag[i] = pe_float_bits(pe_basic_f32(c->params, x[i])) != 0;
    } else {
        for (uint32_t i = 0; i < n; i++)
            y[i] = pe_basic_f32(c->params, x[i]);
    }
}

static void run_exponential(const pe_call *c)
{
    const float *x = c->data[0];
    float *y = c->data[1];
    for (uint32_t i = 0; i < pe_tensor_elements(c->tensor[0]); i++)
        y[i] = pe_exponential_f32(c->params, x[i]);
}

static void run_trigonometric(const pe_call *c)
{
    const float *x = c->data[0];
    float *y = c->data[1];
    for (uint32_t i = 0; i < pe_tensor_elements(c->tensor[0]); i++)
        y[i] = pe_trigonometric_f32(c->params, x[i]);
}

#define PE_UNARY_DEF(op, KIND, check_function, run_function) \
    const pe_op_def pe_op_def_##op = {                       \
        .kind = PE_OP_##KIND,                                \
        .params_bytes = sizeof(pe_function_params),          \
        .min_inputs = 1,                                     \
        .max_inputs = 1,                                     \
        .outputs = 1,                                        \
        .name = #op,                                         \
        .check = check_function,                             \
        .run = run_function,                                 \
    };

PE_UNARY_DEF(unary_f32, UNARY_F32, check_basic, run_basic)
PE_UNARY_DEF(exponential_f32, EXPONENTIAL_F32, check_exponential, run_exponential)
PE_UNARY_DEF(trigonometric_f32, TRIGONOMETRIC_F32, check_trigonometric, run_trigonometric)
