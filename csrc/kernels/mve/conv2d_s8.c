#include "kernels/mve/mve.h"
#include "ops/window.h"

/* conv2d_s8 where windows are not one run of x: three of them, or as many as scratch holds, are copied to it with their padding
 * as values, and multiplied by the weights of all channels. */

typedef struct windows {
    pe_axis h, w;
    uint32_t pixel_bytes; /* of x */
    uint32_t tap_bytes;   /* channels of a group */
    const int8_t *image;  /* x at one n and the first channel of the group */
    int8_t fill;          /* x's zero point */
    bool in_rows;         /* a window's taps are neighbours, row by row */
    int32_t first, end;   /* then windows first .. end - 1 of a row lie inside of x from left to right */
} windows;

/* Rows of n bytes. Not inlined, nor is the next: for the registers' sake. */
static __attribute__((noinline)) void copy_rows(int8_t *to, size_t to_row, const int8_t *from, size_t from_row,
                                                int32_t rows, uint32_t n)
{
    if (n <= 16) {
        const mve_pred16_t in = vctp8q(n);
        for (; rows; rows--, from += from_row, to += to_row)
            vstrbq_p_s8(to, vldrbq_z_s8(from, in), in);
        return;
    }
    for (; rows; rows--, from += from_row, to += to_row)
        pe_mve_copy(to, from, n);
}

static __attribute__((noinline)) void copy_taps(const windows *g, int32_t iy, int32_t x0, int8_t *to)
{
    for (int32_t i = g->h.taps; i; i--, iy += g->h.dilation) {
        int32_t ix = x0;
        for (int32_t j = g->w.taps; j; j--, ix += g->w.dilation, to += g->tap_bytes)
            if (iy >= 0 && iy < g->h.in && ix >= 0 && ix < g->w.in)
                pe_mve_copy(to, g->image + ((uint32_t)iy * (uint32_t)g->w.in + (uint32_t)ix) * g->pixel_bytes,
                            g->tap_bytes);
    }
}

/* Taps first .. first + n - 1 of the window at position `at` lie inside of x, if n > 0; for a dilation of 1. */
static inline int32_t taps_inside(const pe_axis *a, int32_t at, int32_t *first)
{
    const int32_t end = a->in - at;
    *first = at < 0 ? -at : 0;
    return (end < a->taps ? end : a->taps) - *first;
}

/* Whether the windows of three neighbours in a row lie inside of x; then they are copied, of k bytes each. */
static bool gather_3(const windows *g, int32_t oy, int32_t ox, int8_t *to, uint32_t k)
{
    const int32_t iy = oy * g->h.stride - g->h.pad;
    if (ox < g->first || ox + 3 > g->end || iy < 0 || iy + g->h.taps > g->h.in)
        return false;
    const uint32_t row = (uint32_t)g->w.in * g->pixel_bytes, n = (uint32_t)g->w.taps * g->tap_bytes;
    const uint32_t step = (uint32_t)g->w.stride * g->pixel_bytes;
    const int8_t *from = g->image + (uint32_t)iy * row + (uint32_t)(ox * g->w.stride - g->w.pad) * g->pixel_bytes;
    copy_rows(to, n, from, row, g->h.taps, n);
    copy_rows(to + k, n, from + step, row, g->h.taps, n);
    copy_rows(to + 2 * k, n, from + 2 * step, row, g->h.taps, n);
    return true;
}

/* The window of output pixel (oy, ox), of k bytes. */
static void gather(const windows *g, int32_t oy, int32_t ox, int8_t *to, uint32_t k)
{
    const int32_t iy = oy * g->h.stride - g->h.pad, ix = ox * g->w.stride - g->w.pad;
    int32_t top = 0, left = 0, rows = 0, cols = 0;
    if (g->in_rows) {
        rows = taps_inside(&g->h, iy, &top);
        cols = taps_inside(&g->w, ix, &left);
    }
    if (rows < g->h.taps || cols < g->w.taps)
        pe_mve_fill(to, g->fill, k);
    if (!g->in_rows) {
        copy_taps(g, iy, ix, to);
    } else if (rows > 0 && cols > 0) {
        const uint32_t row = (uint32_t)g->w.in * g->pixel_bytes, to_row = (uint32_t)g->w.taps * g->tap_bytes;
        copy_rows(to + (uint32_t)top * to_row + (uint32_t)left * g->tap_bytes, to_row,
                  g->image + (uint32_t)(iy + top) * row + (uint32_t)(ix + left) * g->pixel_bytes, row, rows,
                  (uint32_t)cols * g->tap_bytes);
    }
}

bool pe_conv2d_s8__mve(const pe_call *c)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[3];
    const uint32_t channels = (uint32_t)w->dims[0], groups = (uint32_t)p->groups, n = channels / groups;
    const uint32_t k = w->bytes / channels, pixels = (uint32_t)y->dims[1] * (uint32_t)y->dims[2];
    const uint32_t images = (uint32_t)x->dims[0], image_bytes = x->bytes / images, fit = c->scratch_bytes / k;
    const pe_output_s8 out = {p->y_zero_point, p->y_min, p->y_max};
    if (fit == 0 || n < 4 || !pe_mve_all_short(c->data[2], channels)) /* no scratch: no window needs a copy */
        return false;
    windows g = {
        .h = pe_axis_h(p, x, y, w->dims[1]),
        .w = pe_axis_w(p, x, y, w->dims[2]),
        .pixel_bytes = (uint32_t)x->dims[3],
        .tap_bytes = (uint32_t)w->dims[3],
        .fill = (int8_t)p->x_zero_point,
        .in_rows = groups == 1 && p->dilation_h == 1 && p->dilation_w == 1,
    };
    if (g.in_rows && g.w.in + g.w.pad >= g.w.taps) {
        const int32_t end = (g.w.in + g.w.pad - g.w.taps) / g.w.stride + 1;
        g.first = (g.w.pad + g.w.stride - 1) / g.w.stride;
        g.end = end < g.w.out ? end : g.w.out;
    }
    for (uint32_t image = 0; image < images; image++)
        for (uint32_t group = 0; group < groups; group++) {
            g.image = (const int8_t *)c->data[0] + image * image_bytes + group * g.tap_bytes;
            int32_t oy = 0, ox = 0;
            for (uint32_t i = 0, m; i < pixels; i += m) {
                const uint32_t most = fit < 3 ? fit : 3, left = pixels - i;
                m = left < most ? left : most;
                if (m == 3 && gather_3(&g, oy, ox, c->scratch, k)) {
                    ox += 3;
                } else {
                    for (uint32_t j = 0; j < m; j++, ox++) {
                        if (ox == g.w.out) {
                            ox = 0;
                            oy++;
                        }
                        gather(&g, oy, ox, (int8_t *)c->scratch + j * k, k);
                    }
                }
                if (ox == g.w.out) {
                    ox = 0;
                    oy++;
                }
                pe_mve_gemm_s8(m, n, k, c->scratch, k, (const int8_t *)c->data[1] + group * n * k,
                               (const pe_channel *)c->data[2] + group * n, &out,
                               (int8_t *)c->data[3] + (image * pixels + i) * channels + group * n, channels);
            }
        }
    return true;
}
