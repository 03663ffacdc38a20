#include "ops.h"

/* signal_overlap_add: x[..., n, size] buffer[..., size] -> y[..., n * step] buffer[..., size]: each frame is added to the
 * buffer, whose first `step` elements are then done. int16, which saturates, and float32. */

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_tensor *x = c->tensor[0], *buffer = c->tensor[1], *y = c->tensor[2], *next = c->tensor[3];
    (void)scratch_bytes;
    *text = "signal_overlap_add: dtypes";
    if ((x->dtype != PE_S16 && x->dtype != PE_F32) || buffer->dtype != x->dtype || y->dtype != x->dtype ||
        next->dtype != x->dtype)
        return PE_ERR_SHAPE;
    *text = "signal_overlap_add: x[.., n, size] buffer[.., size] y[.., n * step] do not fit";
    if (x->rank < 2 || buffer->rank + 1 != x->rank || y->rank != buffer->rank || next->rank != buffer->rank)
        return PE_ERR_SHAPE;
    uint32_t last = buffer->rank - 1u;
    for (uint32_t i = 0; i < last; i++) {
        if (buffer->dims[i] != x->dims[i] || y->dims[i] != x->dims[i] || next->dims[i] != x->dims[i])
            return PE_ERR_SHAPE;
    }
    int32_t frames = x->dims[last], size = x->dims[last + 1];
    return buffer->dims[last] == size && next->dims[last] == size && y->dims[last] % frames == 0 &&
                   y->dims[last] / frames <= size
               ? PE_OK
               : PE_ERR_SHAPE;
}

static void add(void *sum, const void *x, uint32_t n, uint8_t dtype)
{
    if (dtype == PE_F32) {
        for (uint32_t i = 0; i < n; i++)
            ((float *)sum)[i] += ((const float *)x)[i];
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        int32_t s = ((int16_t *)sum)[i] + ((const int16_t *)x)[i];
        ((int16_t *)sum)[i] = (int16_t)(s < INT16_MIN ? INT16_MIN : s > INT16_MAX ? INT16_MAX : s);
    }
}

static void run(const pe_call *c)
{
    const pe_tensor *x = c->tensor[0];
    const uint8_t *from = c->data[0];
    uint8_t *y = c->data[2], *buffer = c->data[3];
    uint32_t last = x->rank - 2u, size = (uint32_t)x->dims[last + 1], frames = (uint32_t)x->dims[last];
    uint32_t bytes = size << pe_dtype_shift(x->dtype);
    uint32_t step_bytes = (uint32_t)c->tensor[2]->dims[last] / frames << pe_dtype_shift(x->dtype);
    uint32_t total = x->bytes / bytes;
    __builtin_memmove(buffer, c->data[1], c->tensor[3]->bytes);
    for (uint32_t i = 0; i < total; i++, from += bytes, y += step_bytes) {
        if (i > 0 && i % frames == 0)
            buffer += bytes;
        add(buffer, from, size, x->dtype);
        __builtin_memmove(y, buffer, step_bytes);
        __builtin_memmove(buffer, buffer + step_bytes, bytes - step_bytes);
        __builtin_memset(buffer + bytes - step_bytes, 0, step_bytes);
    }
}

const pe_op_def pe_op_def_signal_overlap_add = {
    .kind = PE_OP_SIGNAL_OVERLAP_ADD,
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 2,
    .name = "signal_overlap_add",
    .check = check,
    .run = run,
};
