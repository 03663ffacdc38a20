#include "reduce_math.h"
#include "typed.h"

/* reduce_math_any: as reduce_math_f32 for the other floats, whose elements are rounded to binary32 first. */

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    *text = "reduce_math_any: dtypes";
    if (c->tensor[0]->dtype != c->tensor[1]->dtype || !pe_is_float_dtype(c->tensor[0]->dtype))
        return PE_ERR_SHAPE;
    *text = pe_reduce_math_fault(c);
    return *text ? PE_ERR_SHAPE : PE_OK;
}

static float load(const void *x, uint8_t dtype, uint32_t i)
{
    return (float)pe_load_f64(x, dtype, i);
}

static void run(const pe_call *c)
{
    const pe_reduce_params *p = c->params;
    pe_reduce_math r = {.x = c->data[0], .dtype = c->tensor[0]->dtype, .load = load};
    pe_loops kept;
    uint32_t count, at = 0, unused = 0, to = 0;
    pe_reduce_loops(c->tensor[0], p->axes, &kept, &r.reduced, &count);
    do {
        for (uint32_t i = 0; i < kept.n[0]; i++, to++)
            pe_store_f64(c->data[1], r.dtype, to, (double)pe_reduce_math_one(&r, p->reduction, at + i * kept.a[0]));
    } while (pe_loops_next(&kept, &at, &unused));
}

const pe_op_def pe_op_def_reduce_math_any = {
    .kind = PE_OP_REDUCE_MATH_ANY,
    .params_bytes = sizeof(pe_reduce_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "reduce_math_any",
    .check = check,
    .run = run,
};
