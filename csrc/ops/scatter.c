#include "index.h"

/* scatter: run after run of the updates goes into y, to where a tuple of indices says; the rest of y stays as it is. With
 * one run of updates (spread) each place gets the same. Any dtype; of several updates of a place the last one holds. */

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_index_params *p = c->params;
    uint64_t moved;
    (void)scratch_bytes;
    *text = "scatter: dtypes";
    if (c->tensor[1]->dtype != c->tensor[2]->dtype)
        return PE_ERR_SHAPE;
    const char *fault = pe_index_fault(p, c->tensor[2], c->tensor[0], &moved);
    *text = fault ? fault : "scatter: updates have not the size of the runs";
    return !fault && (p->spread ? p->inner : moved) == pe_tensor_elements(c->tensor[1]) ? PE_OK : PE_ERR_SHAPE;
}

static void run(const pe_call *c)
{
    const pe_index_params *p = c->params;
    const uint8_t *update = c->data[1];
    uint8_t *y = c->data[2], dtype = c->tensor[0]->dtype;
    uint32_t shift = pe_dtype_shift(c->tensor[2]->dtype), at;
    size_t bytes = (size_t)p->inner << shift;
    pe_index_walk w = {0};
    do {
        if (pe_index_resolve(p, &w, c->data[0], dtype, &at))
            __builtin_memmove(y + ((size_t)at << shift), update, bytes);
        update += p->spread ? 0 : bytes;
    } while (pe_index_next(p, &w));
}

const pe_op_def pe_op_def_scatter = {
    .kind = PE_OP_SCATTER,
    .params_bytes = sizeof(pe_index_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "scatter",
    .check = check,
    .run = run,
};
