#include "index.h"

/* reverse_sequence: of each batch the first lengths[b] steps in reverse order, the rest as it is. Any dtype; a length is
 * clamped to the number of steps. */

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_reverse_sequence_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *lengths = c->tensor[1], *y = c->tensor[2];
    (void)scratch_bytes;
    *text = "reverse_sequence: axes";
    if (p->batch_axis > 1 || p->time_axis != 1 - p->batch_axis || x->rank < 2)
        return PE_ERR_SHAPE;
    *text = "reverse_sequence: y is not as x";
    if (x->dtype != y->dtype || x->rank != y->rank)
        return PE_ERR_SHAPE;
    for (uint32_t i = 0; i < x->rank; i++) {
        if (x->dims[i] != y->dims[i])
            return PE_ERR_SHAPE;
    }
    *text = "reverse_sequence: the lengths are not int32 or int64, one for each batch";
    return (lengths->dtype == PE_S32 || lengths->dtype == PE_S64) &&
                   pe_tensor_elements(lengths) == (uint32_t)x->dims[p->batch_axis]
               ? PE_OK
               : PE_ERR_SHAPE;
}

static void run(const pe_call *c)
{
    const pe_reverse_sequence_params *p = c->params;
    const pe_tensor *x = c->tensor[0];
    uint32_t batches = (uint32_t)x->dims[p->batch_axis], steps = (uint32_t)x->dims[p->time_axis];
    size_t bytes = x->bytes / batches / steps;
    size_t batch_stride = p->batch_axis == 0 ? bytes * steps : bytes;
    size_t step_stride = p->batch_axis == 0 ? bytes : bytes * batches;
    for (uint32_t b = 0; b < batches; b++) {
        int64_t length = pe_load_index(c->data[1], c->tensor[1]->dtype, b);
        length = length < 0 ? 0 : length > steps ? steps : length;
        const uint8_t *from = (const uint8_t *)c->data[0] + b * batch_stride;
        uint8_t *y = (uint8_t *)c->data[2] + b * batch_stride;
        for (uint32_t t = 0; t < steps; t++) {
            size_t source = t < length ? (size_t)length - 1 - t : t;
            __builtin_memmove(y + t * step_stride, from + source * step_stride, bytes);
        }
    }
}

const pe_op_def pe_op_def_reverse_sequence = {
    .kind = PE_OP_REVERSE_SEQUENCE,
    .params_bytes = sizeof(pe_reverse_sequence_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "reverse_sequence",
    .check = check,
    .run = run,
};
