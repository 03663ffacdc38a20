/* What the kinds with float16 weights share: linear_f16, conv2d_f16, depthwise_f16. */
#ifndef PE_OPS_F16_H
#define PE_OPS_F16_H
#include "kernels/f16.h"
#include "kernels/kernels.h"
#include "ops/weights.h"

static inline bool pe_is_float_or_f16(const pe_tensor *t)
{
    return t->dtype == PE_F32 || t->dtype == PE_F16;
}

/* NULL, or what is wrong besides the shapes of x, w and y. channels: of y. */
static inline const char *pe_f16_fault(const pe_call *c, int32_t channels, int32_t rounding, float min, float max)
{
    if (c->tensor[1]->dtype != PE_F16 || !pe_is_float_or_f16(c->tensor[0]) || !pe_is_float_or_f16(c->tensor[c->inputs]))
        return "float16 weights: w is not float16, or x or y neither float16 nor float32";
    if (rounding != PE_ROUND_EXACT && rounding != PE_ROUND_FAST16)
        return "float16 weights: the rounding is not the kind's";
    return pe_f32_fault(c, channels, min, max);
}

static inline pe_form_f16 pe_form_of(const pe_call *c, float min, float max)
{
    return (pe_form_f16){c->tensor[0]->dtype == PE_F16, c->tensor[c->inputs]->dtype == PE_F16, min, max};
}

static inline pe_gemm_f16_fn *pe_gemm_f16_of(const pe_call *c, int32_t rounding)
{
    return rounding == PE_ROUND_FAST16 ? c->kernels->gemm_fast16 : c->kernels->gemm_f16;
}
#endif
