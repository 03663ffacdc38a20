#include "axis.h"
#include "order.h"

/* arg: along one axis, where the largest or smallest element is; a NaN counts as either. Any dtype. */

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_order_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    (void)scratch_bytes;
    *text = "arg: y is not int32 or int64 of x's shape without the axis";
    return (y->dtype == PE_S32 || y->dtype == PE_S64) && pe_axis_fits(x, y, p->axis, 1) ? PE_OK : PE_ERR_SHAPE;
}

static void run(const pe_call *c)
{
    const pe_order_params *p = c->params;
    uint8_t dtype = c->tensor[0]->dtype;
    pe_axis a = pe_axis_of(c->tensor[0], p->axis);
    for (uint32_t o = 0; o < a.outer; o++) {
        for (uint32_t i = 0; i < a.inner; i++) {
            uint32_t start = o * a.n * a.inner + i, best = 0;
            int64_t best_key = pe_order_key(c->data[0], dtype, start, p->smallest);
            for (uint32_t k = 1; k < a.n; k++) {
                int64_t key = pe_order_key(c->data[0], dtype, start + k * a.inner, p->smallest);
                if (key > best_key || (p->last && key == best_key)) {
                    best = k;
                    best_key = key;
                }
            }
            pe_store_index(c->data[1], c->tensor[1]->dtype, o * a.inner + i, best);
        }
    }
}

const pe_op_def pe_op_def_arg = {
    .kind = PE_OP_ARG,
    .params_bytes = sizeof(pe_order_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "arg",
    .check = check,
    .run = run,
};
