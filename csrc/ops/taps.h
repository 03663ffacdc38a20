/* Sums of a window, tap by tap, for the convolutions that no micro-kernel serves: x and w int8 with a zero point each, taps
 * outside the image add nothing. conv2d and depthwise differ by strides only. */
#ifndef PE_TAPS_H
#define PE_TAPS_H
#include "ops/window.h"

typedef struct pe_taps {
    pe_axis h, w;
    size_t channels, in_channels;
    size_t depth;            /* channels of x that an output channel reads; 1 for depthwise */
    size_t outputs;          /* neighboring output channels that read the same ones */
    size_t w_channel, w_tap; /* elements of the weights from output channel to output channel, and from tap to tap */
    int32_t x_zero_point, w_zero_point;
} pe_taps;

/* groups: 0 for depthwise. */
static inline pe_taps pe_taps_of(const pe_tensor *x, const pe_tensor *w, pe_axis h, pe_axis v, int32_t groups)
{
    pe_taps t = {.h = h, .w = v, .in_channels = (size_t)x->dims[3]};
    t.channels = (size_t)(groups ? w->dims[0] : w->dims[2]);
    t.depth = groups ? (size_t)w->dims[3] : 1;
    t.outputs = t.channels / (groups ? (size_t)groups : t.in_channels);
    t.w_channel = groups ? w->bytes / t.channels : 1;
    t.w_tap = groups ? t.depth : t.channels;
    return t;
}

static inline uint32_t pe_dot_s8(const int8_t *x, int32_t x_zero_point, const int8_t *w, int32_t w_zero_point, size_t n)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (uint32_t)((x[i] - x_zero_point) * (w[i] - w_zero_point));
    return sum;
}

/* x: one image. */
static inline uint32_t pe_taps_sum(const pe_taps *t, const int8_t *x, const int8_t *w, int32_t oy, int32_t ox,
                                   size_t channel)
{
    uint32_t sum = 0;
    int32_t iy = oy * t->h.stride - t->h.pad;
    x += channel / t->outputs * t->depth;
    w += channel * t->w_channel;
    for (int32_t i = 0; i < t->h.taps; i++, iy += t->h.dilation) {
        int32_t ix = ox * t->w.stride - t->w.pad;
        for (int32_t j = 0; j < t->w.taps; j++, ix += t->w.dilation, w += t->w_tap)
            if (iy >= 0 && iy < t->h.in && ix >= 0 && ix < t->w.in)
                sum += pe_dot_s8(x + ((size_t)iy * (size_t)t->w.in + (size_t)ix) * t->in_channels, t->x_zero_point, w,
                                 t->w_zero_point, t->depth);
    }
    return sum;
}
#endif
