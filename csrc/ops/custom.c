#include "pyedge_custom.h"

#include "ops.h"

/* custom: an op of the user's own, found by name and source among those of this build. */

#ifdef PE_CUSTOM_HEADER
#include PE_CUSTOM_HEADER
#else
#define PE_CUSTOM_OPS(X)
#endif
#define PE_CUSTOM_DECLARE(name) extern const pe_custom_op pe_custom_##name;
#define PE_CUSTOM_ROW(name) &pe_custom_##name,
PE_CUSTOM_OPS(PE_CUSTOM_DECLARE)

__attribute__((weak)) const pe_custom_op *pe_custom_at(uint32_t i)
{
    static const pe_custom_op *const known[] = {PE_CUSTOM_OPS(PE_CUSTOM_ROW) NULL};
    return i < sizeof known / sizeof known[0] ? known[i] : NULL;
}

static const pe_custom_op *find(const pe_custom_params *p)
{
    const pe_custom_op *op;
    for (uint32_t i = 0; (op = pe_custom_at(i)) != NULL; i++) {
        uint32_t k = 0;
        while (op->name[k] && op->name[k] == p->name[k])
            k++;
        if (op->name[k] == p->name[k] && op->source == p->source)
            return op;
    }
    return NULL;
}

/* The call as the user's functions see it. */
static pe_custom_call seen(const pe_call *c)
{
    pe_custom_call u = {.params = (const pe_custom_params *)c->params + 1,
                        .inputs = c->inputs,
                        .outputs = c->outputs,
                        .scratch = c->scratch,
                        .scratch_bytes = c->scratch_bytes};
    for (uint32_t i = 0; i < u.inputs + u.outputs; i++) {
        u.tensor[i] = c->tensor[i];
        u.data[i] = c->data[i];
    }
    return u;
}

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_custom_params *p = c->params;
    *text = "custom: its name does not end";
    if (p->name[PE_CUSTOM_NAME - 1])
        return PE_ERR_STRING;
    *text = p->name;
    const pe_custom_op *op = find(p);
    if (!op)
        return PE_ERR_CUSTOM_OP;
    *text = "the numbers of inputs and outputs";
    if ((op->inputs != PE_CUSTOM_ANY && op->inputs != c->inputs) ||
        (op->outputs != PE_CUSTOM_ANY && op->outputs != c->outputs))
        return PE_ERR_OP;
    for (uint32_t i = 0; i < c->inputs && op->inputs != PE_CUSTOM_ANY; i++) {
        if (!c->tensor[i])
            return PE_ERR_OP;
    }
    *text = "params_bytes";
    if (c->params_bytes - sizeof *p != op->params_bytes)
        return PE_ERR_OP;
    pe_custom_call u = seen(c);
    const char *fault = op->check(&u, scratch_bytes);
    if (!fault)
        return PE_OK;
    *text = fault;
    return PE_ERR_SHAPE;
}

static void run(const pe_call *c)
{
    pe_custom_call u = seen(c);
    find(c->params)->run(&u);
}

const pe_op_def pe_op_def_custom = {
    .kind = PE_OP_CUSTOM,
    .params_bytes = sizeof(pe_custom_params),
    .max_inputs = PE_MAX_OP_TENSORS,
    .optional = 0xFF,
    .open = true,
    .name = "custom",
    .check = check,
    .run = run,
};
