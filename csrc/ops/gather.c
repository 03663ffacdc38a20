#include "index.h"

/* gather: y is run after run of x, each found by a tuple of indices. Any dtype. */

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    uint64_t moved;
    (void)scratch_bytes;
    *text = "gather: dtypes";
    if (c->tensor[0]->dtype != c->tensor[2]->dtype)
        return PE_ERR_SHAPE;
    const char *fault = pe_index_fault(c->params, c->tensor[0], c->tensor[1], &moved);
    *text = fault ? fault : "gather: y has not the size of the runs";
    return !fault && moved == pe_tensor_elements(c->tensor[2]) ? PE_OK : PE_ERR_SHAPE;
}

static void run(const pe_call *c)
{
    const pe_index_params *p = c->params;
    const uint8_t *x = c->data[0];
    uint8_t *y = c->data[2], dtype = c->tensor[1]->dtype;
    uint32_t shift = pe_dtype_shift(c->tensor[0]->dtype), at;
    size_t bytes = (size_t)p->inner << shift;
    pe_index_walk w = {0};
    do {
        if (pe_index_resolve(p, &w, c->data[1], dtype, &at))
            __builtin_memmove(y, x + ((size_t)at << shift), bytes);
        else
            __builtin_memset(y, 0, bytes);
        y += bytes;
    } while (pe_index_next(p, &w));
}

const pe_op_def pe_op_def_gather = {
    .kind = PE_OP_GATHER,
    .params_bytes = sizeof(pe_index_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "gather",
    .check = check,
    .run = run,
};
