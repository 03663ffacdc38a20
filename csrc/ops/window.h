/* Windows of convolution and depthwise along one axis: window o, tap i reads position o * stride - pad + i * dilation.
 */
#ifndef PE_WINDOW_H
#define PE_WINDOW_H
#include <stdbool.h>

#include "ops.h"

#define PE_WINDOW_LIMIT 32767 /* of stride, dilation and padding on each side: plan_structs.h */
#define PE_SCRATCH_BYTES 2048 /* what an op may ask for in any case */

typedef struct pe_axis {
    int32_t in, out, taps, stride, dilation, pad;
} pe_axis;

/* Strides, dilation and padding are within their limits, on the far side too. Then positions fit into int32. */
static inline bool pe_axis_ok(const pe_axis *a)
{
    if (a->stride < 1 || a->stride > PE_WINDOW_LIMIT || a->dilation < 1 || a->dilation > PE_WINDOW_LIMIT ||
        a->pad < 0 || a->pad > PE_WINDOW_LIMIT)
        return false;
    int64_t end = (int64_t)(a->out - 1) * a->stride + (int64_t)(a->taps - 1) * a->dilation + 1 - a->pad;
    return end <= (int64_t)a->in + PE_WINDOW_LIMIT;
}

/* No window reaches into the padding. */
static inline bool pe_axis_inside(const pe_axis *a)
{
    return a->pad == 0 && (a->out - 1) * a->stride + (a->taps - 1) * a->dilation < a->in;
}

static inline pe_axis pe_axis_h(const pe_conv2d_params *p, const pe_tensor *x, const pe_tensor *y, int32_t taps)
{
    return (pe_axis){x->dims[1], y->dims[1], taps, p->stride_h, p->dilation_h, p->pad_top};
}

static inline pe_axis pe_axis_w(const pe_conv2d_params *p, const pe_tensor *x, const pe_tensor *y, int32_t taps)
{
    return (pe_axis){x->dims[2], y->dims[2], taps, p->stride_w, p->dilation_w, p->pad_left};
}

/* Whether tap i of some window reads `position`; that window, which may lie outside dy, in *window. */
static inline bool pe_lines_up(const pe_axis *a, int32_t position, int32_t tap, int32_t *window)
{
    const int32_t from = position + a->pad - tap * a->dilation;
    *window = from / a->stride;
    return *window * a->stride == from;
}

/* Of a position: how many taps line up, the last one and its window, and the steps to those before it. */
typedef struct pe_lined {
    int32_t count, tap, window, tap_step, window_step;
} pe_lined;

static inline pe_lined pe_lined_up(const pe_axis *a, int32_t position)
{
    pe_lined l = {0};
    for (int32_t i = a->taps, window; i-- > 0;)
        if (pe_lines_up(a, position, i, &window)) {
            if (l.count == 0) {
                l.tap = i;
                l.window = window;
            } else if (l.count == 1) {
                l.tap_step = i - l.tap;
                l.window_step = window - l.window;
            }
            l.count++;
        }
    return l;
}
#endif
