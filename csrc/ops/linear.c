#include "kernels/kernels.h"
#include "ops/f16.h"
#include "ops/ops.h"
#include "ops/weights.h"

/* linear: y[m, n] = sum over k of x[m, k] * w[n, k]. */

static pe_output_s8 output_s8(const pe_linear_params *p)
{
    return (pe_output_s8){p->y_zero_point, p->y_min, p->y_max};
}

/* PE_ROUND_LITERT_REF, for comparing intermediates: no kernel, because speed doesn't matter. */
static void run_litert_ref(size_t m, size_t n, size_t k, const int8_t *x, const int8_t *w, const pe_channel *q,
                           const pe_output_s8 *out, int8_t *y)
{
    for (; m; m--, x += k)
        for (size_t j = 0; j < n; j++) {
            uint32_t sum = (uint32_t)q[j].bias;
            for (size_t i = 0; i < k; i++)
                sum += (uint32_t)(x[i] * w[j * k + i]);
            int32_t value = pe_requantize_litert_ref((int32_t)sum, q[j].a, q[j].b);
            *y++ = pe_output_to_s8(value, out);
        }
}

static void run_s8(const pe_call *c)
{
    const pe_linear_params *p = c->params;
    const size_t m = (size_t)c->tensor[0]->dims[0], n = (size_t)c->tensor[1]->dims[0],
                 k = (size_t)c->tensor[1]->dims[1];
    const pe_output_s8 out = output_s8(p);
    if (c->kernels->linear_s8 && c->kernels->linear_s8(c))
        return;
    if (p->rounding == PE_ROUND_LITERT_REF)
        run_litert_ref(m, n, k, c->data[0], c->data[1], c->data[2], &out, c->data[3]);
    else
        c->kernels->gemm_s8(m, n, k, c->data[0], k, c->data[1], c->data[2], &out, c->data[3], n);
}

static void run_s8_fp32(const pe_call *c)
{
    const size_t m = (size_t)c->tensor[0]->dims[0], n = (size_t)c->tensor[1]->dims[0],
                 k = (size_t)c->tensor[1]->dims[1];
    const pe_output_s8 out = output_s8(c->params);
    c->kernels->gemm_fp32_s8(m, n, k, c->data[0], k, c->data[1], c->data[2], &out, c->data[3], n);
}

static void run_f32(const pe_call *c)
{
    const pe_linear_params *p = c->params;
    const size_t m = (size_t)c->tensor[0]->dims[0], n = (size_t)c->tensor[1]->dims[0],
                 k = (size_t)c->tensor[1]->dims[1];
    const float *bias = c->inputs > 2 && c->tensor[2] ? c->data[2] : NULL;
    c->kernels->gemm_f32(m, n, k, c->data[0], k, c->data[1], bias, p->f_min, p->f_max, c->data[c->inputs], n);
}

static void run_f16(const pe_call *c)
{
    const pe_linear_params *p = c->params;
    const size_t m = (size_t)c->tensor[0]->dims[0], n = (size_t)c->tensor[1]->dims[0],
                 k = (size_t)c->tensor[1]->dims[1];
    const float *bias = c->inputs > 2 && c->tensor[2] ? c->data[2] : NULL;
    const pe_form_f16 form = pe_form_of(c, p->f_min, p->f_max);
    pe_gemm_f16_of(c, p->rounding)(m, n, k, c->data[0], k, c->data[1], bias, &form, c->data[c->inputs], n);
}

static const char *shape_fault(const pe_call *c)
{
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[c->inputs];
    if (x->rank != 2 || w->rank != 2 || y->rank != 2)
        return "linear: x, w and y need two axes";
    if (x->dims[1] != w->dims[1] || y->dims[0] != x->dims[0] || y->dims[1] != w->dims[0])
        return "linear: x [M, K], w [N, K] and y [M, N] do not fit together";
    return NULL;
}

/* What all kinds of one type ask for. */
static const char *fault(const pe_call *c, uint8_t dtype)
{
    const char *const of_type = pe_weights_fault(c, dtype);
    return of_type ? of_type : shape_fault(c);
}

static pe_status check_rounding(const pe_call *c, bool known, uint32_t *scratch_bytes, const char **text)
{
    const pe_linear_params *p = c->params;
    *scratch_bytes = 0;
    *text = fault(c, PE_S8);
    if (!*text) /* the zero point of x is in the bias */
        *text = pe_s8_fault(c, c->tensor[1]->dims[0], 0, p->y_zero_point, p->y_min, p->y_max);
    if (!*text && !known)
        *text = "linear_s8: the rounding is not the kind's";
    return *text ? PE_ERR_SHAPE : PE_OK;
}

static pe_status check_s8(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const int32_t rounding = ((const pe_linear_params *)c->params)->rounding;
    const bool known = rounding == PE_ROUND_TFLITE || (rounding == PE_ROUND_LITERT_REF && !c->tensor[1]->layout);
    return check_rounding(c, known, scratch_bytes, text);
}

static pe_status check_s8_fp32(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const int32_t rounding = ((const pe_linear_params *)c->params)->rounding;
    return check_rounding(c, rounding == PE_ROUND_FP32, scratch_bytes, text);
}

static pe_status check_f32(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_linear_params *p = c->params;
    *scratch_bytes = 0;
    *text = fault(c, PE_F32);
    if (!*text)
        *text = pe_f32_fault(c, c->tensor[1]->dims[0], p->f_min, p->f_max);
    return *text ? PE_ERR_SHAPE : PE_OK;
}

static pe_status check_f16(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_linear_params *p = c->params;
    *scratch_bytes = 0;
    *text = shape_fault(c);
    if (!*text)
        *text = pe_f16_fault(c, c->tensor[1]->dims[0], p->rounding, p->f_min, p->f_max);
    return *text ? PE_ERR_SHAPE : PE_OK;
}

const pe_op_def pe_op_def_linear_s8 = {
    .kind = PE_OP_LINEAR_S8,
    .params_bytes = sizeof(pe_linear_params),
    .min_inputs = 3,
    .max_inputs = 3,
    .outputs = 1,
    .packed = 1 << 1,
    .name = "linear_s8",
    .check = check_s8,
    .run = run_s8,
};

const pe_op_def pe_op_def_linear_s8_fp32 = {
    .kind = PE_OP_LINEAR_S8_FP32,
    .params_bytes = sizeof(pe_linear_params),
    .min_inputs = 3,
    .max_inputs = 3,
    .outputs = 1,
    .name = "linear_s8_fp32",
    .check = check_s8_fp32,
    .run = run_s8_fp32,
};

const pe_op_def pe_op_def_linear_f32 = {
    .kind = PE_OP_LINEAR_F32,
    .params_bytes = sizeof(pe_linear_params),
    .min_inputs = 2,
    .max_inputs = 3,
    .outputs = 1,
    .optional = 1 << 2,
    .name = "linear_f32",
    .check = check_f32,
    .run = run_f32,
};

const pe_op_def pe_op_def_linear_f16 = {
    .kind = PE_OP_LINEAR_F16,
    .params_bytes = sizeof(pe_linear_params),
    .min_inputs = 2,
    .max_inputs = 3,
    .outputs = 1,
    .optional = 1 << 2,
    .name = "linear_f16",
    .check = check_f16,
    .run = run_f16,
};
