#include "reduce_math.h"

/* reduce_math_f32: the Euclidean norm, the logarithm of the sum, and that of the sum of exponentials, over the axes of a bit
 * mask. Apart from reduce_f32, for they bring sqrt, log and exp with them. */

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    *text = "reduce_math_f32: dtypes";
    if (c->tensor[0]->dtype != PE_F32 || c->tensor[1]->dtype != PE_F32)
        return PE_ERR_SHAPE;
    *text = pe_reduce_math_fault(c);
    return *text ? PE_ERR_SHAPE : PE_OK;
}

static float load(const void *x, uint8_t dtype, uint32_t i)
{
    (void)dtype;
    return ((const float *)x)[i];
}

static void run(const pe_call *c)
{
    const pe_reduce_params *p = c->params;
    pe_reduce_math r = {.x = c->data[0], .dtype = PE_F32, .load = load};
    float *y = c->data[1];
    pe_loops kept;
    uint32_t count, at = 0, unused = 0;
    pe_reduce_loops(c->tensor[0], p->axes, &kept, &r.reduced, &count);
    do {
        for (uint32_t i = 0; i < kept.n[0]; i++)
            *y++ = pe_reduce_math_one(&r, p->reduction, at + i * kept.a[0]);
    } while (pe_loops_next(&kept, &at, &unused));
}

const pe_op_def pe_op_def_reduce_math_f32 = {
    .kind = PE_OP_REDUCE_MATH_F32,
    .params_bytes = sizeof(pe_reduce_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "reduce_math_f32",
    .check = check,
    .run = run,
};
