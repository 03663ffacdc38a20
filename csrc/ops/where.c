#include "broadcast.h"

/* where: y = a where the condition holds, else b; NumPy broadcasting, any dtype. y may be the memory of an operand that has
 * its shape and dtype. */

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    uint8_t dtype = c->tensor[3]->dtype;
    (void)scratch_bytes;
    *text = "where: dtypes, or shapes that do not broadcast to the output's";
    bool fits = c->tensor[0]->dtype == PE_BOOL && c->tensor[1]->dtype == dtype && c->tensor[2]->dtype == dtype &&
                pe_broadcasts(c, 3);
    return fits ? PE_OK : PE_ERR_SHAPE;
}

static void run(const pe_call *c)
{
    const uint8_t *condition = c->data[0];
    uint32_t size = 1u << pe_dtype_shift(c->tensor[3]->dtype);
    uint8_t *y = c->data[3];
    pe_walk w = pe_walk_start(c, 3);
    for (uint32_t i = 0; i < c->tensor[3]->bytes; i += size, pe_walk_next(&w, 3)) {
        uint32_t from = condition[w.at[0]] ? 1 : 2;
        __builtin_memmove(y + i, (const uint8_t *)c->data[from] + (size_t)w.at[from] * size, size);
    }
}

const pe_op_def pe_op_def_where = {
    .kind = PE_OP_WHERE,
    .params_bytes = 0,
    .min_inputs = 3,
    .max_inputs = 3,
    .outputs = 1,
    .name = "where",
    .check = check,
    .run = run,
};
