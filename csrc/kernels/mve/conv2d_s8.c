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
} windows;

/* A window inside of x, whose taps are neighbours in memory: rows of n bytes, from_row apart. Not inlined, nor is the next: for
 * the registers' sake. */
static __attribute__((noinline)) void copy_rows(int8_t *to, const int8_t *from, int32_t rows, size_t from_row,
                                                uint32_t n)
{
    for (; rows; rows--, from += from_row, to += n)
        pe_mve_copy(to, from, n);
}

/* Any window, tap by tap. */
static __attribute__((noinline)) void copy_taps(const windows *g, int32_t iy, int32_t x0, int8_t *to)
{
    for (int32_t i = g->h.taps; i; i--, iy += g->h.dilation) {
        int32_t ix = x0;
        for (int32_t j = g->w.taps; j; j--, ix += g->w.dilation, to += g->tap_bytes)
            if (iy < 0 || iy >= g->h.in || ix < 0 || ix >= g->w.in)
                pe_mve_fill(to, g->fill, g->tap_bytes);
            else
                pe_mve_copy(to, g->image + ((uint32_t)iy * (uint32_t)g->w.in + (uint32_t)ix) * g->pixel_bytes,
                            g->tap_bytes);
    }
}

/* The window of output pixel (oy, ox). */
static void gather(const windows *g, int32_t oy, int32_t ox, int8_t *to)
{
    const int32_t iy = oy * g->h.stride - g->h.pad, ix = ox * g->w.stride - g->w.pad;
    const uint32_t row = (uint32_t)g->w.in * g->pixel_bytes;
    if (g->w.dilation == 1 && g->tap_bytes == g->pixel_bytes && iy >= 0 && ix >= 0 && ix + g->w.taps <= g->w.in &&
        iy + (g->h.taps - 1) * g->h.dilation < g->h.in)
        copy_rows(to, g->image + (uint32_t)iy * row + (uint32_t)ix * g->pixel_bytes, g->h.taps,
                  (size_t)g->h.dilation * row, (uint32_t)g->w.taps * g->tap_bytes);
    else
        copy_taps(g, iy, ix, to);
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
    };
    for (uint32_t image = 0; image < images; image++)
        for (uint32_t group = 0; group < groups; group++) {
            g.image = (const int8_t *)c->data[0] + image * image_bytes + group * g.tap_bytes;
            int32_t oy = 0, ox = 0;
            for (uint32_t i = 0, m; i < pixels; i += m) {
                int8_t *to = c->scratch;
                for (m = 0; m < 3 && m < fit && i + m < pixels; m++, to += k) {
                    gather(&g, oy, ox, to);
                    if (++ox == g.w.out) {
                        ox = 0;
                        oy++;
                    }
                }
                pe_mve_gemm_s8(m, n, k, c->scratch, k, (const int8_t *)c->data[1] + group * n * k,
                               (const pe_channel *)c->data[2] + group * n, &out,
                               (int8_t *)c->data[3] + (image * pixels + i) * channels + group * n, channels);
            }
        }
    return true;
}
