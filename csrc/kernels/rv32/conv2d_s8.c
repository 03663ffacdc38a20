#include "kernels/bytes.h"
#include "kernels/rv32/rv32.h"
#include "ops/ops.h"
#include "ops/window.h"

/* conv2d_s8: four pixels at a time. Their windows are put side by side in scratch, as the words of pe_rv32_pairs, with the
 * padding as values; then all channels are computed from them. The last four pixels of an image, and the last four
 * channels of a group, overlap with those before where their number is no multiple of four; but a single pixel that is
 * left, and is its own window, is a row of a linear layer. */

enum { PIXELS = 4 };

/* Where the runs of a window begin: pixels of one row of x by all their channels, or one tap. */
typedef struct windows {
    pe_axis h, w;
    uint32_t pixel_bytes; /* of x */
    uint32_t tap_bytes;   /* channels of a group */
    const int8_t *image;  /* x at one n and the first channel of the group */
    const int8_t *fill;   /* zero points, enough for a run */
} windows;

/* n words for each of the pixels' bytes from p[0] .. p[3] on. */
static uint32_t *pair(uint32_t *to, const int8_t *const p[PIXELS], size_t n)
{
    const int8_t *a = p[0], *b = p[1], *c = p[2], *d = p[3];
#define PAIR(i)                                          \
    to[2 * i] = (uint32_t)a[i] + ((uint32_t)b[i] << 16); \
    to[2 * i + 1] = (uint32_t)c[i] + ((uint32_t)d[i] << 16);
    for (; n >= 4; n -= 4, a += 4, b += 4, c += 4, d += 4, to += 8) {
        PAIR(0)
        PAIR(1)
        PAIR(2)
        PAIR(3)
    }
    for (; n; n--, a++, b++, c++, d++, to += 2) {
        PAIR(0)
    }
#undef PAIR
    return to;
}

/* The windows of output pixels first .. first + 3. */
static void gather(const windows *g, uint32_t first, uint32_t *to)
{
    int32_t y[PIXELS], x[PIXELS];
    bool inside = g->w.dilation == 1 && g->tap_bytes == g->pixel_bytes;
    int32_t oy = (int32_t)first / g->w.out, ox = (int32_t)first % g->w.out;
    for (int p = 0; p < PIXELS; p++) {
        y[p] = oy * g->h.stride - g->h.pad;
        x[p] = ox * g->w.stride - g->w.pad;
        inside = inside && x[p] >= 0 && x[p] + g->w.taps <= g->w.in;
        if (++ox == g->w.out) {
            ox = 0;
            oy++;
        }
    }
    const int32_t runs = inside ? 1 : g->w.taps;
    const size_t run = inside ? (size_t)g->w.taps * g->tap_bytes : g->tap_bytes;
    const uint32_t row_bytes = (uint32_t)g->w.in * g->pixel_bytes;
    for (int32_t i = 0; i < g->h.taps; i++) {
        const int8_t *row[PIXELS]; /* of x; NULL outside */
        for (int p = 0; p < PIXELS; p++) {
            const int32_t iy = y[p] + i * g->h.dilation;
            row[p] = iy < 0 || iy >= g->h.in ? NULL : g->image + (uint32_t)iy * row_bytes;
        }
        for (int32_t j = 0, step = 0; j < runs; j++, step += g->w.dilation) {
            const int8_t *from[PIXELS];
            for (int p = 0; p < PIXELS; p++) {
                const uint32_t ix = (uint32_t)(x[p] + step);
                from[p] = row[p] && ix < (uint32_t)g->w.in ? row[p] + ix * g->pixel_bytes : g->fill;
            }
            to = pair(to, from, run);
        }
    }
}

/* Channels of four pixels, `blocks` times four from `channel` on; pixel: the first one's number in y. */
static void compute(const pe_call *c, pe_rv32_pairs *t, uint32_t channel, uint32_t blocks, uint32_t pixel)
{
    t->w = (const int8_t *)c->data[1] + channel * t->k;
    t->q = (const pe_channel *)c->data[2] + channel;
    t->y = (int8_t *)c->data[3] + pixel * t->y_stride + channel;
    t->blocks = blocks;
    pe_rv32_pairs_s8(t);
}

/* A window of one tap that lies in the image. */
static const int8_t *lone(const windows *g, uint32_t pixel)
{
    const uint32_t y = pixel / (uint32_t)g->w.out * (uint32_t)g->h.stride;
    const uint32_t x = pixel % (uint32_t)g->w.out * (uint32_t)g->w.stride;
    return g->image + (y * (uint32_t)g->w.in + x) * g->pixel_bytes;
}

bool pe_conv2d_s8__rv32(const pe_call *c)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[3];
    const uint32_t channels = (uint32_t)w->dims[0], groups = (uint32_t)p->groups, n = channels / groups;
    const uint32_t k = w->bytes / channels, pixels = (uint32_t)y->dims[1] * (uint32_t)y->dims[2];
    const uint32_t images = (uint32_t)x->dims[0], image_bytes = x->bytes / images;
    windows g = {
        .h = pe_axis_h(p, x, y, w->dims[1]),
        .w = pe_axis_w(p, x, y, w->dims[2]),
        .pixel_bytes = (uint32_t)x->dims[3],
        .tap_bytes = (uint32_t)w->dims[3],
    };
    const bool lone_last =
        pixels % PIXELS == 1 && n >= 8 && g.h.taps * g.w.taps == 1 && pe_axis_inside(&g.h) && pe_axis_inside(&g.w);
    const uint32_t fill_bytes = (uint32_t)g.w.taps * g.tap_bytes;
    if (!pe_shifts_are_short(c->data[2], channels))
        return false;
    if (pe_rv32_conv2d_winograd_s8(c))
        return true;
    const bool all_lone = lone_last && pixels == 1;
    if (!all_lone && (n < 4 || pixels < PIXELS || c->scratch_bytes < 8 * (uint64_t)k + fill_bytes))
        return false;
    pe_rv32_pairs t = {
        .x = c->scratch,
        .y_stride = channels,
        .k = k,
        .offset = 2 * p->y_zero_point + 1,
        .min = p->y_min,
        .max = p->y_max,
    };
    if (!all_lone) {
        int8_t *fill = (int8_t *)c->scratch + 8 * k;
        pe_fill_bytes(fill, (uint8_t)p->x_zero_point, fill_bytes);
        g.fill = fill;
    }
    for (uint32_t image = 0; image < images; image++)
        for (uint32_t group = 0; group < groups; group++) {
            g.image = (const int8_t *)c->data[0] + image * image_bytes + group * g.tap_bytes;
            for (uint32_t i = 0; i < pixels - lone_last; i += PIXELS) {
                const uint32_t first = i + PIXELS <= pixels ? i : pixels - PIXELS, pixel = image * pixels + first;
                gather(&g, first, c->scratch);
                compute(c, &t, group * n, n / 4, pixel);
                if (n % 4)
                    compute(c, &t, (group + 1) * n - 4, 1, pixel);
            }
            if (lone_last) {
                const pe_rv32_linear row = {
                    .x = lone(&g, pixels - 1),
                    .w = (const int8_t *)c->data[1] + group * n * k,
                    .q = (const pe_channel *)c->data[2] + group * n,
                    .y = (int8_t *)c->data[3] + ((image + 1) * pixels - 1) * channels + group * n,
                    .k = k,
                    .offset = t.offset,
                    .min = t.min,
                    .max = t.max,
                };
                pe_rv32_linear_s8(&row, n);
            }
        }
    return true;
}
