#include "cumsum.h"

/* cumsum_f32: running sums along an axis, from +0, one FP32 addition an element. */

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    *text = "cumsum_f32: dtypes";
    if (c->tensor[0]->dtype != PE_F32)
        return PE_ERR_SHAPE;
    *text = pe_cumsum_fault(c);
    return *text ? PE_ERR_SHAPE : PE_OK;
}

static void run(const pe_call *c)
{
    const pe_cumsum_params *p = c->params;
    const float *x = c->data[0];
    float *y = c->data[2];
    pe_axis a = pe_cumsum_axis(c);
    for (uint32_t line = 0; line < a.outer * a.inner; line++) {
        uint32_t start = line / a.inner * a.n * a.inner + line % a.inner;
        float sum = 0;
        for (uint32_t k = 0; k < a.n; k++) {
            uint32_t at = start + (p->reverse ? a.n - 1 - k : k) * a.inner;
            float next = sum + x[at];
            y[at] = p->exclusive ? sum : next;
            sum = next;
        }
    }
}

const pe_op_def pe_op_def_cumsum_f32 = {
    .kind = PE_OP_CUMSUM_F32,
    .params_bytes = sizeof(pe_cumsum_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "cumsum_f32",
    .check = check,
    .run = run,
};
