/* avg_pool2d_s8 and max_pool2d_s8, and mean_s8 over rows and columns, which is one window, as layer kernels see them. */
#ifndef PE_POOL_SHAPE_H
#define PE_POOL_SHAPE_H
#include "kernels/layers.h"
#include "ops/requantize.h"

typedef struct pe_pool_shape {
    size_t x, y; /* in the arena */
    int32_t images, in_h, in_w, out_h, out_w, kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    uint32_t channels;
    pe_output_s8 out;
    /* mean */
    int32_t zero_sum; /* count * zero_point(x) */
    int32_t multiplier, shift;
} pe_pool_shape;

/* The part of a window that lies in the image; a column is as wide as there are channels. end: of all of x. */
typedef struct pe_pool_window {
    const int8_t *from, *end;
    int32_t rows, cols;
    size_t row_step;
} pe_pool_window;

/* Windows of up to 256 elements: their sums fit int16. */
static inline bool pe_pool_takes(const pe_call *c)
{
    const pe_pool2d_params *p = c->params;
    return pe_in_arena(c->tensor[0]) && (int64_t)p->kernel_h * p->kernel_w <= 256;
}

static inline bool pe_pool_mean_takes(const pe_call *c)
{
    const pe_tensor *x = c->tensor[0];
    return pe_in_arena(x) && x->rank == 4 && ((const pe_mean_params *)c->params)->axes == (1 << 1 | 1 << 2) &&
           (int64_t)x->dims[1] * x->dims[2] <= 256;
}

/* pack of layers (layers.h) */
static inline void pe_pool_pack(const pe_call *c, void *packed)
{
    const pe_pool2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    *(pe_pool_shape *)packed = (pe_pool_shape){
        .x = x->offset,
        .y = y->offset,
        .images = x->dims[0],
        .in_h = x->dims[1],
        .in_w = x->dims[2],
        .out_h = y->dims[1],
        .out_w = y->dims[2],
        .kernel_h = p->kernel_h,
        .kernel_w = p->kernel_w,
        .stride_h = p->stride_h,
        .stride_w = p->stride_w,
        .pad_top = p->pad_top,
        .pad_left = p->pad_left,
        .channels = (uint32_t)x->dims[3],
        .out = {0, p->y_min, p->y_max},
    };
}

static inline void pe_pool_mean_pack(const pe_call *c, void *packed)
{
    const pe_mean_params *p = c->params;
    const pe_tensor *x = c->tensor[0];
    *(pe_pool_shape *)packed = (pe_pool_shape){
        .x = x->offset,
        .y = c->tensor[1]->offset,
        .images = x->dims[0],
        .in_h = x->dims[1],
        .in_w = x->dims[2],
        .out_h = 1,
        .out_w = 1,
        .kernel_h = x->dims[1],
        .kernel_w = x->dims[2],
        .channels = (uint32_t)x->dims[3],
        .out = {p->y_zero_point, -128, 127},
        .zero_sum = p->x_zero_point * x->dims[1] * x->dims[2],
        .multiplier = p->multiplier,
        .shift = p->shift,
    };
}

/* n channels of y, of the window that begins at w->from. */
typedef void pe_pool_fn(const pe_pool_shape *s, const pe_pool_window *w, int8_t *y, size_t n);

/* All windows, `group` channels at once and fewer at the end. */
static inline __attribute__((always_inline)) void pe_pool_each(const pe_pool_shape *s, uint8_t *arena, pe_pool_fn *pool,
                                                               const size_t group)
{
    const int8_t *x = (const int8_t *)arena + s->x;
    int8_t *y = (int8_t *)arena + s->y;
    const size_t row = (size_t)s->in_w * s->channels;
    const int8_t *const end = x + (size_t)s->images * s->in_h * row;
    for (int32_t n = 0; n < s->images; n++, x += (size_t)s->in_h * row)
        for (int32_t oy = 0; oy < s->out_h; oy++) {
            const int32_t top = oy * s->stride_h - s->pad_top, y0 = top < 0 ? 0 : top;
            const int32_t y1 = s->in_h - top < s->kernel_h ? s->in_h : top + s->kernel_h;
            for (int32_t ox = 0; ox < s->out_w; ox++, y += s->channels) {
                const int32_t left = ox * s->stride_w - s->pad_left, x0 = left < 0 ? 0 : left;
                const int32_t x1 = s->in_w - left < s->kernel_w ? s->in_w : left + s->kernel_w;
                pe_pool_window w = {x + (size_t)y0 * row + (size_t)x0 * s->channels, end, y1 - y0, x1 - x0, row};
                size_t c = 0;
                for (; c + group <= s->channels; c += group, w.from += group)
                    pool(s, &w, y + c, group);
                if (c < s->channels)
                    pool(s, &w, y + c, s->channels - c);
            }
        }
}
#endif
