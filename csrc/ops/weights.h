/* What layers with weights ask for besides their shapes, by type. channels: of y. NULL, or what is wrong. */
#ifndef PE_OPS_WEIGHTS_H
#define PE_OPS_WEIGHTS_H
#include "ops/check.h"
#include "ops/ops.h"

static inline const char *pe_weights_fault(const pe_call *c, uint8_t dtype)
{
    if (c->tensor[0]->dtype != dtype || c->tensor[1]->dtype != dtype || c->tensor[c->inputs]->dtype != dtype)
        return "weights: x, w and y are not of the kind's type";
    return NULL;
}

static inline const char *pe_bias_fault(const pe_call *c, int32_t channels)
{
    const pe_tensor *bias = c->inputs > 2 ? c->tensor[2] : NULL;
    if (bias && (bias->dtype != PE_F32 || bias->rank != 1 || bias->dims[0] != channels))
        return "weights: bias is not float32 [channels of y]";
    return NULL;
}

static inline const char *pe_f32_fault(const pe_call *c, int32_t channels, float min, float max)
{
    const char *const fault = pe_bias_fault(c, channels);
    return fault || pe_is_range_f32(min, max) ? fault : "weights: f_min and f_max are no range";
}

static inline const char *pe_s8_fault(const pe_call *c, int32_t channels, int32_t x_zero_point, int32_t y_zero_point,
                                      int32_t min, int32_t max)
{
    const pe_tensor *q = c->tensor[2];
    if (q->dtype != PE_S32 || q->rank != 2 || q->dims[0] != channels || q->dims[1] != 3)
        return "weights: q is not int32 [channels of y, 3]";
    if (!pe_is_s8(x_zero_point) || !pe_is_s8(y_zero_point) || !pe_is_range_s8(min, max))
        return "weights: a zero point or the clamp is not int8";
    return NULL;
}
#endif
