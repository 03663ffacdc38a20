/* Windows over images of 1 .. 4 axes, x[N, D1 .., C]: along axis a, window o, tap t reads position
 * o * stride - pad + t * dilation. For the families that take any rank; conv2d, depthwise and pool2d have their own,
 * faster walks. */
#ifndef PE_GRID_H
#define PE_GRID_H
#include <stdbool.h>

#include "ops.h"

#define PE_GRID_AXES 4

typedef struct pe_grid {
    uint32_t axes;
    int32_t in[PE_GRID_AXES], out[PE_GRID_AXES], taps[PE_GRID_AXES];
    int32_t stride[PE_GRID_AXES], dilation[PE_GRID_AXES], pad[PE_GRID_AXES];
} pe_grid;

/* Steps and padding are 1 or 0 .. 32767 and no window ends further than that behind x, so positions fit into int32. */
static inline bool pe_grid_ok(const pe_grid *g)
{
    const int32_t limit = 32767;
    for (uint32_t a = 0; a < g->axes; a++) {
        if (g->stride[a] < 1 || g->stride[a] > limit || g->dilation[a] < 1 || g->dilation[a] > limit || g->pad[a] < 0 ||
            g->pad[a] > limit || g->taps[a] < 1)
            return false;
        int64_t end = (int64_t)(g->out[a] - 1) * g->stride[a] + (int64_t)(g->taps[a] - 1) * g->dilation[a] - g->pad[a];
        if (end >= (int64_t)g->in[a] + limit)
            return false;
    }
    return true;
}

/* Moves to the next position, the last axis fastest; false, with all zero again, after the last. */
static inline bool pe_grid_next(const int32_t *size, uint32_t axes, int32_t *at)
{
    for (uint32_t a = axes; a-- > 0;) {
        if (++at[a] < size[a])
            return true;
        at[a] = 0;
    }
    return false;
}

/* The pixel of x that tap t of window o reads, in *pixel; false for padding. */
static inline bool pe_grid_pixel(const pe_grid *g, const int32_t *o, const int32_t *t, uint32_t *pixel)
{
    uint32_t at = 0;
    for (uint32_t a = 0; a < g->axes; a++) {
        int32_t i = o[a] * g->stride[a] - g->pad[a] + t[a] * g->dilation[a];
        if (i < 0 || i >= g->in[a])
            return false;
        at = at * (uint32_t)g->in[a] + (uint32_t)i;
    }
    *pixel = at;
    return true;
}

/* The pixel of x that tap t adds to pixel o of a transposed convolution's result, where x's pixels are the windows:
 * o = i * stride - pad + t * dilation. False if there is none. */
static inline bool pe_grid_source(const pe_grid *g, const int32_t *o, const int32_t *t, uint32_t *pixel)
{
    uint32_t at = 0;
    for (uint32_t a = 0; a < g->axes; a++) {
        int32_t i = o[a] + g->pad[a] - t[a] * g->dilation[a];
        if (i < 0 || i % g->stride[a] != 0 || i / g->stride[a] >= g->in[a])
            return false;
        at = at * (uint32_t)g->in[a] + (uint32_t)(i / g->stride[a]);
    }
    *pixel = at;
    return true;
}

/* The number of positions. */
static inline uint32_t pe_grid_count(const int32_t *size, uint32_t axes)
{
    uint32_t n = 1;
    for (uint32_t a = 0; a < axes; a++)
        n *= (uint32_t)size[a];
    return n;
}
#endif
