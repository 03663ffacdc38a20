#include "order.h"
#include "reduce.h"

/* reduce_order: the largest or smallest element over the axes of a bit mask, of equal ones the first; NaN if one is NaN.
 * Any dtype: the element's bytes are carried over. */

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_reduce_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    (void)scratch_bytes;
    *text = "reduce_order: dtypes";
    if (x->dtype != y->dtype)
        return PE_ERR_SHAPE;
    *text = "reduce_order: reduction";
    if (p->reduction != PE_REDUCE_MAX && p->reduction != PE_REDUCE_MIN)
        return PE_ERR_SHAPE;
    *text = pe_reduce_fault(x, y, p->axes);
    return *text ? PE_ERR_SHAPE : PE_OK;
}

static void run(const pe_call *c)
{
    const pe_reduce_params *p = c->params;
    uint8_t dtype = c->tensor[0]->dtype;
    bool smallest = p->reduction == PE_REDUCE_MIN;
    pe_loops kept, reduced;
    uint32_t count, at = 0, unused = 0, to = 0;
    pe_reduce_loops(c->tensor[0], p->axes, &kept, &reduced, &count);
    do {
        for (uint32_t i = 0; i < kept.n[0]; i++, to++) {
            uint32_t xt = at + i * kept.a[0], best = xt;
            int64_t best_key = pe_order_key(c->data[0], dtype, xt, smallest);
            do {
                for (uint32_t k = 0; k < reduced.n[0]; k++) {
                    int64_t key = pe_order_key(c->data[0], dtype, xt + k * reduced.a[0], smallest);
                    if (key > best_key) {
                        best = xt + k * reduced.a[0];
                        best_key = key;
                    }
                }
            } while (pe_loops_next(&reduced, &xt, &unused));
            pe_move_element(c->data[1], to, c->data[0], best, pe_dtype_shift(dtype));
        }
    } while (pe_loops_next(&kept, &at, &unused));
}

const pe_op_def pe_op_def_reduce_order = {
    .kind = PE_OP_REDUCE_ORDER,
    .params_bytes = sizeof(pe_reduce_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "reduce_order",
    .check = check,
    .run = run,
};
