#include "logistic_s16.h"
#include "ops.h"
#include "s16.h"

/* Functions of one int16. lookup_s16: any function, by a table of 513 points that the plan holds. sigmoid_s16: sigmoid and
 * tanh as TFLite has them. y may be x's memory. */

static bool is_unary(const pe_tensor *x, const pe_tensor *y)
{
    return x->dtype == PE_S16 && y->dtype == PE_S16 && x->bytes == y->bytes;
}

static pe_status check_lookup(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_tensor *table = c->tensor[1];
    (void)scratch_bytes;
    *text = "lookup_s16: x and y are not int16 of one length, or the table is not int16 [513]";
    return is_unary(c->tensor[0], c->tensor[2]) && table->dtype == PE_S16 && pe_tensor_elements(table) == 513
               ? PE_OK
               : PE_ERR_SHAPE;
}

static void run_lookup(const pe_call *c)
{
    const int16_t *x = c->data[0];
    int16_t *y = c->data[2];
    for (uint32_t i = 0; i < pe_tensor_elements(c->tensor[0]); i++)
        y[i] = pe_lookup_s16(c->data[1], x[i]);
}

static pe_status check_sigmoid(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_sigmoid_s16_params *p = c->params;
    (void)scratch_bytes;
    *text = "sigmoid_s16: x and y are not int16 of one length, or params";
    return is_unary(c->tensor[0], c->tensor[1]) && (p->function == PE_FN_SIGMOID || p->function == PE_FN_TANH) &&
                   p->multiplier >= 0 && p->multiplier <= INT16_MAX && p->shift >= 0 && p->shift <= 30
               ? PE_OK
               : PE_ERR_SHAPE;
}

static void run_sigmoid(const pe_call *c)
{
    const pe_sigmoid_s16_params *p = c->params;
    const pe_table_scale scale = {p->multiplier, p->shift};
    const int16_t *x = c->data[0];
    int16_t *y = c->data[1];
    for (uint32_t i = 0; i < pe_tensor_elements(c->tensor[0]); i++)
        y[i] = p->function == PE_FN_TANH ? pe_tanh_s16(x[i], scale) : pe_logistic_s16(x[i], scale);
}

const pe_op_def pe_op_def_lookup_s16 = {
    .kind = PE_OP_LOOKUP_S16,
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "lookup_s16",
    .check = check_lookup,
    .run = run_lookup,
};

const pe_op_def pe_op_def_sigmoid_s16 = {
    .kind = PE_OP_SIGMOID_S16,
    .params_bytes = sizeof(pe_sigmoid_s16_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "sigmoid_s16",
    .check = check_sigmoid,
    .run = run_sigmoid,
};
