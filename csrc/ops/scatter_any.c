#include "index.h"
#include "typed.h"

/* scatter_any: as scatter, but each update is joined with what lies in y: sum, product, maximum or minimum, in the order of
 * the updates. Every dtype but bool. */

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_index_params *p = c->params;
    uint64_t moved;
    (void)scratch_bytes;
    *text = "scatter_any: dtypes";
    if (c->tensor[1]->dtype != c->tensor[2]->dtype)
        return PE_ERR_SHAPE;
    const char *fault = pe_index_fault(p, c->tensor[2], c->tensor[0], &moved);
    *text = fault ? fault : "scatter_any: updates have not the size of the runs";
    if (fault || moved != pe_tensor_elements(c->tensor[1]))
        return PE_ERR_SHAPE;
    *text = "scatter_any: reduction";
    return p->reduction <= PE_REDUCE_MIN ? PE_OK : PE_ERR_SHAPE;
}

static double join_f64(uint32_t reduction, double y, double u)
{
    switch (reduction) {
    case PE_REDUCE_SUM: return y + u;
    case PE_REDUCE_PROD: return y * u;
    case PE_REDUCE_MAX: return u > y || u != u ? u : y;
    default: return u < y || u != u ? u : y;
    }
}

/* bias: 2^63 for uint64, whose upper half reads as negative, else 0. */
static int64_t join_s64(uint32_t reduction, int64_t y, int64_t u, uint64_t bias)
{
    int64_t order_y = (int64_t)((uint64_t)y ^ bias), order_u = (int64_t)((uint64_t)u ^ bias);
    switch (reduction) {
    case PE_REDUCE_SUM: return (int64_t)((uint64_t)y + (uint64_t)u);
    case PE_REDUCE_PROD: return (int64_t)((uint64_t)y * (uint64_t)u);
    case PE_REDUCE_MAX: return order_u > order_y ? u : y;
    default: return order_u < order_y ? u : y;
    }
}

static void run(const pe_call *c)
{
    const pe_index_params *p = c->params;
    uint8_t dtype = c->tensor[2]->dtype, index_dtype = c->tensor[0]->dtype;
    uint64_t bias = dtype == PE_U64 ? 1ull << 63 : 0;
    uint32_t at, from = 0;
    const void *u = c->data[1];
    void *y = c->data[2];
    pe_index_walk w = {0};
    do {
        if (pe_index_resolve(p, &w, c->data[0], index_dtype, &at)) {
            for (uint32_t i = 0; i < p->inner; i++) {
                if (pe_is_float_dtype(dtype))
                    pe_store_f64(
                        y, dtype, at + i,
                        join_f64(p->reduction, pe_load_f64(y, dtype, at + i), pe_load_f64(u, dtype, from + i)));
                else
                    pe_store_s64(
                        y, dtype, at + i,
                        join_s64(p->reduction, pe_load_s64(y, dtype, at + i), pe_load_s64(u, dtype, from + i), bias));
            }
        }
        from += p->inner;
    } while (pe_index_next(p, &w));
}

const pe_op_def pe_op_def_scatter_any = {
    .kind = PE_OP_SCATTER_ANY,
    .params_bytes = sizeof(pe_index_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "scatter_any",
    .check = check,
    .run = run,
};
