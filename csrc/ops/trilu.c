#include "index.h"

/* trilu: the triangle of the last two axes above (j - i >= k) or below (j - i <= k) a diagonal; zero bytes elsewhere. */

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_tensor *x = c->tensor[0], *k = c->tensor[1], *y = c->tensor[2];
    (void)scratch_bytes;
    *text = "trilu: y is not as x, or x has not two axes";
    if (x->dtype != y->dtype || x->bytes != y->bytes || x->rank != y->rank || x->rank < 2 ||
        x->dims[x->rank - 1] != y->dims[x->rank - 1])
        return PE_ERR_SHAPE;
    *text = "trilu: k is not one int32 or int64";
    return (k->dtype == PE_S32 || k->dtype == PE_S64) && pe_tensor_elements(k) == 1 ? PE_OK : PE_ERR_SHAPE;
}

static void run(const pe_call *c)
{
    const pe_trilu_params *p = c->params;
    const pe_tensor *x = c->tensor[0];
    int64_t rows = x->dims[x->rank - 2], columns = x->dims[x->rank - 1];
    uint32_t shift = pe_dtype_shift(x->dtype);
    uint32_t lines = pe_tensor_elements(x) / (uint32_t)columns;
    const uint8_t *from = c->data[0];
    uint8_t *y = c->data[2];
    int64_t k = pe_load_index(c->data[1], c->tensor[1]->dtype, 0);
    k = k < -rows ? -rows : k > columns ? columns : k; /* beyond them nothing changes */
    for (uint32_t line = 0; line < lines; line++) {
        /* Kept are the columns from `first` on (upper), or those before it. */
        int64_t first = (int64_t)(line % (uint32_t)rows) + k + (p->upper ? 0 : 1);
        first = first < 0 ? 0 : first > columns ? columns : first;
        size_t head = (size_t)first << shift, all = (size_t)columns << shift;
        if (p->upper) {
            __builtin_memset(y, 0, head);
            __builtin_memmove(y + head, from + head, all - head);
        } else {
            __builtin_memmove(y, from, head);
            __builtin_memset(y + head, 0, all - head);
        }
        from += all;
        y += all;
    }
}

const pe_op_def pe_op_def_trilu = {
    .kind = PE_OP_TRILU,
    .params_bytes = sizeof(pe_trilu_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "trilu",
    .check = check,
    .run = run,
};
