#include "ops.h"

/* branch: the executor jumps (runtime/run.c), and the verifier knows where a target may lie. */

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_branch_params *p = c->params;
    (void)scratch_bytes;
    *text = "branch: a predicate that is not bool, or `when` is neither 0 nor 1";
    return (c->inputs == 1 && c->tensor[0]->dtype != PE_BOOL) || p->when > 1 ? PE_ERR_SHAPE : PE_OK;
}

static void run(const pe_call *c)
{
    (void)c;
}

const pe_op_def pe_op_def_branch = {
    .kind = PE_OP_BRANCH,
    .params_bytes = sizeof(pe_branch_params),
    .min_inputs = 0,
    .max_inputs = 1,
    .outputs = 0,
    .name = "branch",
    .check = check,
    .run = run,
};
