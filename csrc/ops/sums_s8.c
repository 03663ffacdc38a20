#include "check.h"
#include "cumsum.h"
#include "requantize.h"

/* Sums of int8, as TFLM's ADD_N and CUMSUM: every term without its zero point is scaled by 2^19, the sum wraps modulo 2^32
 * and is requantized (docs/arithmetic.md, "Sums of int8"). As TFLM's they start from a code of 0, not from a value of 0. */

#define HEADROOM 19

static bool good_params(const pe_sums_s8_params *p)
{
    return pe_is_s8(p->x_zero_point) && pe_is_s8(p->y_zero_point) && pe_is_multiplier(p->multiplier, p->shift);
}

static uint32_t term(const pe_sums_s8_params *p, int32_t x)
{
    return (uint32_t)(x - p->x_zero_point) << HEADROOM;
}

static int8_t result(const pe_sums_s8_params *p, uint32_t sum)
{
    const pe_output_s8 out = {p->y_zero_point, -128, 127};
    return pe_requantize_s8(sum, p->multiplier, p->shift, &out);
}

static pe_status check_add_n(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_tensor *y = c->tensor[c->inputs];
    (void)scratch_bytes;
    *text = "add_n_s8: a tensor is not int8 or has another shape";
    for (uint32_t i = 0; i <= c->inputs; i++) {
        const pe_tensor *t = c->tensor[i];
        if (t->dtype != PE_S8 || t->rank != y->rank)
            return PE_ERR_SHAPE;
        for (uint32_t k = 0; k < y->rank; k++) {
            if (t->dims[k] != y->dims[k])
                return PE_ERR_SHAPE;
        }
    }
    *text = "add_n_s8: params";
    return good_params(c->params) ? PE_OK : PE_ERR_SHAPE;
}

static void run_add_n(const pe_call *c)
{
    int8_t *y = c->data[c->inputs];
    for (uint32_t i = 0; i < c->tensor[c->inputs]->bytes; i++) {
        uint32_t sum = term(c->params, 0);
        for (uint32_t k = 0; k < c->inputs; k++)
            sum += term(c->params, ((const int8_t *)c->data[k])[i]);
        y[i] = result(c->params, sum);
    }
}

static pe_status check_cumsum(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    *text = "cumsum_s8: dtypes";
    if (c->tensor[0]->dtype != PE_S8)
        return PE_ERR_SHAPE;
    *text = pe_cumsum_fault(c);
    if (*text)
        return PE_ERR_SHAPE;
    *text = "cumsum_s8: params";
    return good_params(c->params) ? PE_OK : PE_ERR_SHAPE;
}

static void run_cumsum(const pe_call *c)
{
    const pe_sums_s8_params *p = c->params;
    const int8_t *x = c->data[0];
    int8_t *y = c->data[2];
    pe_axis a = pe_cumsum_axis(c);
    for (uint32_t line = 0; line < a.outer * a.inner; line++) {
        uint32_t start = line / a.inner * a.n * a.inner + line % a.inner;
        uint32_t sum = term(p, 0);
        for (uint32_t k = 0; k < a.n; k++) {
            uint32_t at = start + (p->reverse ? a.n - 1 - k : k) * a.inner;
            uint32_t next = sum + term(p, x[at]);
            y[at] = result(p, p->exclusive ? sum : next);
            sum = next;
        }
    }
}

const pe_op_def pe_op_def_add_n_s8 = {
    .kind = PE_OP_ADD_N_S8,
    .params_bytes = sizeof(pe_sums_s8_params),
    .min_inputs = 1,
    .max_inputs = PE_MAX_OP_TENSORS - 1,
    .outputs = 1,
    .name = "add_n_s8",
    .check = check_add_n,
    .run = run_add_n,
};

const pe_op_def pe_op_def_cumsum_s8 = {
    .kind = PE_OP_CUMSUM_S8,
    .params_bytes = sizeof(pe_sums_s8_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "cumsum_s8",
    .check = check_cumsum,
    .run = run_cumsum,
};
