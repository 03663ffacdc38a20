#include "kernels/fma.h"
#include "reduce.h"

/* reduce_f32: sums and products over the axes of a bit mask, element after element in ascending order. */

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_reduce_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    (void)scratch_bytes;
    *text = "reduce_f32: dtypes";
    if (x->dtype != PE_F32 || y->dtype != PE_F32)
        return PE_ERR_SHAPE;
    *text = "reduce_f32: reduction";
    if (p->reduction > PE_REDUCE_SUM_SQUARE || p->reduction == PE_REDUCE_MAX || p->reduction == PE_REDUCE_MIN)
        return PE_ERR_SHAPE;
    *text = pe_reduce_fault(x, y, p->axes);
    return *text ? PE_ERR_SHAPE : PE_OK;
}

static float join(uint32_t reduction, float sum, float x)
{
    switch (reduction) {
    case PE_REDUCE_PROD: return sum * x;
    case PE_REDUCE_SUM_ABS: return sum + pe_float_from_bits(pe_float_bits(x) & 0x7FFFFFFF);
    case PE_REDUCE_SUM_SQUARE: return pe_fmaf(x, x, sum);
    default: return sum + x;
    }
}

static void run(const pe_call *c)
{
    const pe_reduce_params *p = c->params;
    const float *x = c->data[0];
    float *y = c->data[1];
    pe_loops kept, reduced;
    uint32_t count, at = 0, unused = 0;
    pe_reduce_loops(c->tensor[0], p->axes, &kept, &reduced, &count);
    do {
        for (uint32_t i = 0; i < kept.n[0]; i++) {
            uint32_t xt = at + i * kept.a[0];
            float sum = p->reduction == PE_REDUCE_PROD ? 1.0f : 0.0f;
            do {
                for (uint32_t k = 0; k < reduced.n[0]; k++)
                    sum = join(p->reduction, sum, x[xt + k * reduced.a[0]]);
            } while (pe_loops_next(&reduced, &xt, &unused));
            *y++ = p->reduction == PE_REDUCE_MEAN ? sum / (float)count : sum;
        }
    } while (pe_loops_next(&kept, &at, &unused));
}

const pe_op_def pe_op_def_reduce_f32 = {
    .kind = PE_OP_REDUCE_F32,
    .params_bytes = sizeof(pe_reduce_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "reduce_f32",
    .check = check,
    .run = run,
};
