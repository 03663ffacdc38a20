/* The shape of conv2d_s8, depthwise_s8 and linear_s8 as layer kernels see it. */
#ifndef PE_CONV_SHAPE_H
#define PE_CONV_SHAPE_H
#include "kernels/layers.h"
#include "ops/requantize.h"
#include "ops/window.h"

typedef struct pe_conv_shape {
    pe_axis h, w;
    int32_t images;
    uint32_t c, c_out;
    int32_t x_zero_point; /* linear: any, there is no padding */
    int32_t body, behind; /* columns of x, and of padding behind them, that windows reach */
    pe_output_s8 out;
} pe_conv_shape;

/* False: an op with a weight in the arena, dilation along a row, groups, or another rounding. A product (linear, or 1x1
 * without steps and padding) comes out as one row of pixels. */
static inline bool pe_conv_shape_of(const pe_call *c, pe_conv_shape *s)
{
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[3];
    if (!pe_in_arena(x) || pe_in_arena(w) || pe_in_arena(c->tensor[2]))
        return false;
    const bool is_conv = w->rank == 4;
    if (w->rank == 2) {
        const pe_linear_params *p = c->params;
        if (p->rounding != PE_ROUND_TFLITE)
            return false;
        *s = (pe_conv_shape){.h = {1, 1, 1, 1, 1, 0},
                             .w = {x->dims[0], y->dims[0], 1, 1, 1, 0},
                             .images = 1,
                             .c = (uint32_t)x->dims[1],
                             .c_out = (uint32_t)y->dims[1],
                             .out = {p->y_zero_point, p->y_min, p->y_max}};
    } else {
        const pe_conv2d_params *p = c->params;
        *s = (pe_conv_shape){.h = pe_axis_h(p, x, y, w->dims[is_conv ? 1 : 0]),
                             .w = pe_axis_w(p, x, y, w->dims[is_conv ? 2 : 1]),
                             .images = x->dims[0],
                             .c = (uint32_t)x->dims[3],
                             .c_out = (uint32_t)y->dims[3],
                             .x_zero_point = p->x_zero_point,
                             .out = {p->y_zero_point, p->y_min, p->y_max}};
        if (p->groups > 1 || (s->w.dilation != 1 && s->w.taps != 1))
            return false;
        const pe_axis *h = &s->h, *v = &s->w;
        if (is_conv && h->taps == 1 && v->taps == 1 && h->stride == 1 && v->stride == 1 && h->pad == 0 && v->pad == 0 &&
            h->in == h->out && v->in == v->out) {
            s->w.in = s->w.out = s->images * h->in * v->in;
            s->h.in = s->h.out = s->images = 1;
        }
    }
    const int64_t last = (int64_t)(s->w.out - 1) * s->w.stride + s->w.taps - s->w.pad;
    s->body = last < 0 ? 0 : last < s->w.in ? (int32_t)last : s->w.in;
    s->behind = last > s->body ? (int32_t)(last - s->body) : 0;
    return true;
}
#endif
