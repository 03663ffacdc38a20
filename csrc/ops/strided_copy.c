#include "ops.h"

/* strided_copy: a nest of loops that moves elements of any dtype from x to places in y: transpose, slice, expand, reverse,
 * and a part of a concatenation, padding or tiling. What no loop reaches of y stays as it is. */

/* Whether `start` plus any element number of the nest lies below `elements`. */
static bool stays_inside(const pe_strided_copy_params *p, int32_t start, const int32_t *stride, uint32_t elements)
{
    int64_t low = start, high = start;
    for (uint32_t k = 0; k < p->rank; k++) {
        int64_t reach = (int64_t)stride[k] * (p->n[k] - 1);
        if (reach < 0)
            low += reach;
        else
            high += reach;
        if (low < 0 || high >= elements)
            return false;
    }
    return low >= 0 && high < elements;
}

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_strided_copy_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    (void)scratch_bytes;
    *text = "strided_copy: dtypes";
    if (x->dtype != y->dtype)
        return PE_ERR_SHAPE;
    *text = "strided_copy: loops";
    if (p->rank > PE_MAX_LOOPS)
        return PE_ERR_SHAPE;
    uint64_t moved = 1;
    for (uint32_t k = 0; k < p->rank; k++) {
        if (p->n[k] < 1)
            return PE_ERR_SHAPE;
        moved *= (uint32_t)p->n[k]; /* below 2^30 * 2^31 */
        if (moved > pe_tensor_elements(y))
            return PE_ERR_SHAPE;
    }
    *text = "strided_copy: an element outside x or y";
    return stays_inside(p, p->x_start, p->x_stride, pe_tensor_elements(x)) &&
                   stays_inside(p, p->y_start, p->y_stride, pe_tensor_elements(y))
               ? PE_OK
               : PE_ERR_SHAPE;
}

/* n elements of 2^shift bytes; the offsets are element numbers, modulo 2^32. */
static void move_run(uint8_t *y, const uint8_t *x, uint32_t at_y, uint32_t at_x, uint32_t n, uint32_t y_stride,
                     uint32_t x_stride, uint32_t shift)
{
    if (x_stride == 1 && y_stride == 1) {
        __builtin_memmove(y + ((size_t)at_y << shift), x + ((size_t)at_x << shift), (size_t)n << shift);
        return;
    }
#define MOVE(type)                                                             \
    do {                                                                       \
        for (; n > 0; n--, at_y += y_stride, at_x += x_stride)                 \
            ((type *)(void *)y)[at_y] = ((const type *)(const void *)x)[at_x]; \
    } while (0)
    switch (shift) {
    case 0: MOVE(uint8_t); break;
    case 1: MOVE(uint16_t); break;
    case 2: MOVE(uint32_t); break;
    default: MOVE(uint64_t); break;
    }
#undef MOVE
}

static void run(const pe_call *c)
{
    const pe_strided_copy_params *p = c->params;
    uint32_t shift = pe_dtype_shift(c->tensor[0]->dtype), i[PE_MAX_LOOPS] = {0};
    uint32_t x = (uint32_t)p->x_start, y = (uint32_t)p->y_start;
    uint32_t inner = p->rank > 0 ? p->rank - 1 : 0, n = 1, x_stride = 1, y_stride = 1;
    if (p->rank > 0) {
        n = (uint32_t)p->n[inner];
        x_stride = (uint32_t)p->x_stride[inner];
        y_stride = (uint32_t)p->y_stride[inner];
    }
    for (;;) {
        move_run(c->data[1], c->data[0], y, x, n, y_stride, x_stride, shift);
        uint32_t k = inner;
        for (; k > 0; k--) {
            x += (uint32_t)p->x_stride[k - 1];
            y += (uint32_t)p->y_stride[k - 1];
            if (++i[k - 1] < (uint32_t)p->n[k - 1])
                break;
            x -= (uint32_t)p->x_stride[k - 1] * i[k - 1];
            y -= (uint32_t)p->y_stride[k - 1] * i[k - 1];
            i[k - 1] = 0;
        }
        if (k == 0)
            return;
    }
}

const pe_op_def pe_op_def_strided_copy = {
    .kind = PE_OP_STRIDED_COPY,
    .params_bytes = sizeof(pe_strided_copy_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "strided_copy",
    .check = check,
    .run = run,
};
