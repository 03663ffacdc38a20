#include "ops.h"

/* lookup: y = table[x], any function of one byte. y may be x's memory. */

static bool is_byte(const pe_tensor *t)
{
    return t->dtype == PE_S8 || t->dtype == PE_U8;
}

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_tensor *x = c->tensor[0], *table = c->tensor[1], *y = c->tensor[2];
    (void)scratch_bytes;
    *text = "lookup: not int8 or uint8, x and y differ, or the table has not 256 elements of y's dtype";
    bool fits = is_byte(x) && is_byte(y) && x->bytes == y->bytes && table->dtype == y->dtype && table->bytes == 256;
    return fits ? PE_OK : PE_ERR_SHAPE;
}

static void run(const pe_call *c)
{
    const uint8_t *x = c->data[0], *table = c->data[1];
    uint8_t *y = c->data[2];
    for (uint32_t i = 0; i < c->tensor[0]->bytes; i++)
        y[i] = table[x[i]];
}

const pe_op_def pe_op_def_lookup = {
    .kind = PE_OP_LOOKUP,
    .params_bytes = 0,
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "lookup",
    .check = check,
    .run = run,
};
