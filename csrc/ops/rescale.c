#include "check.h"
#include "ops.h"
#include "requantize.h"

/* rescale: int8, int16 or int32 codes to codes of another scale, zero point or width; with a factor of its own for values
 * below zero, leaky_relu; or of their magnitudes. y may be x's memory where the types are equal. */

static bool is_code(uint8_t dtype)
{
    return dtype == PE_S8 || dtype == PE_S16 || dtype == PE_S32;
}

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_rescale_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    const int32_t limit = y->dtype == PE_S8 ? INT8_MAX : y->dtype == PE_S16 ? INT16_MAX : INT32_MAX;
    (void)scratch_bytes;
    *text = "rescale: dtypes, lengths or params";
    return is_code(x->dtype) && is_code(y->dtype) && pe_tensor_elements(x) == pe_tensor_elements(y) &&
                   pe_is_multiplier(p->multiplier, p->shift) &&
                   pe_is_multiplier(p->negative_multiplier, p->negative_shift) && p->y_min <= p->y_max &&
                   p->y_min >= -limit - 1 && p->y_max <= limit
               ? PE_OK
               : PE_ERR_SHAPE;
}

static int32_t load(const void *data, uint8_t dtype, uint32_t i)
{
    switch (dtype) {
    case PE_S8: return ((const int8_t *)data)[i];
    case PE_S16: return ((const int16_t *)data)[i];
    default: return ((const int32_t *)data)[i];
    }
}

static void store(void *data, uint8_t dtype, uint32_t i, int32_t value)
{
    switch (dtype) {
    case PE_S8: ((int8_t *)data)[i] = (int8_t)value; break;
    case PE_S16: ((int16_t *)data)[i] = (int16_t)value; break;
    default: ((int32_t *)data)[i] = value; break;
    }
}

static void run(const pe_call *c)
{
    const pe_rescale_params *p = c->params;
    for (uint32_t i = 0; i < pe_tensor_elements(c->tensor[0]); i++) {
        int32_t x = (int32_t)((uint32_t)load(c->data[0], c->tensor[0]->dtype, i) - (uint32_t)p->x_zero_point);
        if (p->absolute && x < 0)
            x = (int32_t)(0u - (uint32_t)x);
        int64_t y = x < 0 ? pe_requantize(x, p->negative_multiplier, p->negative_shift)
                          : pe_requantize(x, p->multiplier, p->shift);
        y += p->y_zero_point;
        y = y < p->y_min ? p->y_min : y > p->y_max ? p->y_max : y;
        store(c->data[1], c->tensor[1]->dtype, i, (int32_t)y);
    }
}

const pe_op_def pe_op_def_rescale = {
    .kind = PE_OP_RESCALE,
    .params_bytes = sizeof(pe_rescale_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "rescale",
    .check = check,
    .run = run,
};
