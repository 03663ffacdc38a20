#include "ops.h"

/* copy: y = x, the same bytes in any shape. x and y may overlap in any way. */

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    *text = "copy: x and y differ in dtype or bytes";
    return c->tensor[0]->dtype == c->tensor[1]->dtype && c->tensor[0]->bytes == c->tensor[1]->bytes ? PE_OK
                                                                                                    : PE_ERR_SHAPE;
}

static void run(const pe_call *c)
{
    /* The compiler's own memmove: it carries the bytes whatever their type, and every freestanding build has one. */
    __builtin_memmove(c->data[1], c->data[0], c->tensor[0]->bytes);
}

const pe_op_def pe_op_def_copy = {
    .kind = PE_OP_COPY,
    .params_bytes = 0,
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "copy",
    .check = check,
    .run = run,
};
