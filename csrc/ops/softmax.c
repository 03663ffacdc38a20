#include "check.h"
#include "exp.h"
#include "fixed.h"
#include "ops.h"

/* softmax over the last axis: y = exp(beta * (x - max)) / sum. y may be x's memory: a row is read before it is written,
 * but for its elements in place. */

static pe_status check_shapes(const pe_call *c, uint8_t dtype, const char **text)
{
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    *text = "softmax: x and y differ, or are of another dtype, or have no axis";
    if (x->dtype != dtype || y->dtype != dtype || x->rank != y->rank || x->rank == 0)
        return PE_ERR_SHAPE;
    for (uint32_t i = 0; i < x->rank; i++) {
        if (x->dims[i] != y->dims[i])
            return PE_ERR_SHAPE;
    }
    return PE_OK;
}

/* int8: gemmlowp's fixed point, as TFLM and LiteRT's reference kernel. */

static pe_status check_s8(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_softmax_params *p = c->params;
    (void)scratch_bytes;
    pe_status status = check_shapes(c, PE_S8, text);
    if (status != PE_OK)
        return status;
    *text = "softmax_s8: params";
    return pe_is_multiplier(p->multiplier, p->shift) && p->shift <= 0 && p->diff_min <= 0 ? PE_OK : PE_ERR_SHAPE;
}

static void row_s8(const pe_softmax_params *p, const int8_t *x, int8_t *y, uint32_t n)
{
    int32_t max = -128;
    uint32_t sum = 0; /* Q12.19; at least 1 from the maximum, so it has at most 12 leading zeros */
    for (uint32_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (uint32_t i = 0; i < n; i++) {
        int32_t diff = x[i] - max;
        if (diff < p->diff_min)
            continue;
        uint32_t e = (uint32_t)pe_rdbpot(pe_exp_negative(pe_requantize(diff, p->multiplier, p->shift)), 12);
        sum = sum + e < sum ? UINT32_MAX : sum + e;
    }
    int32_t zeros = pe_leading_zeros(sum);
    int32_t scale = pe_reciprocal((int32_t)((sum << zeros) - (1u << 31)));
    int32_t shift = 35 - zeros; /* 12 - zeros bits of the sum over one; 31 - 8 to int8 */
    for (uint32_t i = 0; i < n; i++) {
        int32_t diff = x[i] - max, v = -128;
        if (diff >= p->diff_min && shift <= 31) { /* beyond 31 bits it rounds to 0 */
            int32_t e = pe_exp_negative(pe_requantize(diff, p->multiplier, p->shift));
            v += pe_rdbpot(pe_srdhm(scale, e), shift);
        }
        y[i] = (int8_t)pe_clamp_s32(v, -128, 127);
    }
}

static void run_s8(const pe_call *c)
{
    const pe_tensor *x = c->tensor[0];
    uint32_t n = (uint32_t)x->dims[x->rank - 1];
    for (uint32_t i = 0; i < x->bytes; i += n)
        row_s8(c->params, (const int8_t *)c->data[0] + i, (int8_t *)c->data[1] + i, n);
}

static pe_status check_f32(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_softmax_params *p = c->params;
    (void)scratch_bytes;
    pe_status status = check_shapes(c, PE_F32, text);
    if (status != PE_OK)
        return status;
    *text = "softmax_f32: beta is not finite and >= 0";
    return pe_is_finite(p->beta) && !(pe_float_bits(p->beta) >> 31) ? PE_OK : PE_ERR_SHAPE;
}

/* e^(beta * (x - max)) into y, in ascending order, then the sum in the same order, then a division. NaN in, NaN out. */
static void row_f32(float beta, const float *x, float *y, uint32_t n)
{
    float max = x[0], sum = 0;
    for (uint32_t i = 1; i < n; i++) {
        if (!pe_float_le(x[i], max) && !pe_is_nan(max))
            max = x[i];
    }
    for (uint32_t i = 0; i < n; i++) {
        y[i] = pe_exp_f32((x[i] - max) * beta);
        sum += y[i];
    }
    for (uint32_t i = 0; i < n; i++)
        y[i] = y[i] / sum;
}

static void run_f32(const pe_call *c)
{
    const pe_tensor *x = c->tensor[0];
    uint32_t n = (uint32_t)x->dims[x->rank - 1];
    for (uint32_t i = 0; i < pe_tensor_elements(x); i += n)
        row_f32(((const pe_softmax_params *)c->params)->beta, (const float *)c->data[0] + i, (float *)c->data[1] + i,
                n);
}

const pe_op_def pe_op_def_softmax_s8 = {
    .kind = PE_OP_SOFTMAX_S8,
    .params_bytes = sizeof(pe_softmax_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "softmax_s8",
    .check = check_s8,
    .run = run_s8,
};

const pe_op_def pe_op_def_softmax_f32 = {
    .kind = PE_OP_SOFTMAX_F32,
    .params_bytes = sizeof(pe_softmax_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "softmax_f32",
    .check = check_f32,
    .run = run_f32,
};
