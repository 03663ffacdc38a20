#include "kernels/rvv/rvv.h"
#include "ops/ops.h"
#include "ops/window.h"

/* conv2d_s8 with pixels across the vectors. The windows of a block of pixels are put into scratch, an element of all of
 * them after the other, with padding as values; the weights are scalars, read as they lie. Any number of channels fills
 * the vectors that way, and a block serves all channels of its group. */

enum { MIN_PIXELS = 12 }; /* of a block; below, k across the vectors is faster */

typedef struct windows {
    pe_axis h, w;
    uint32_t pixel_bytes; /* of x */
    uint32_t tap_bytes;   /* channels of a group */
    const int8_t *image;  /* x at one n and the first channel of the group */
    int8_t fill;          /* x's zero point */
} windows;

static void fill(int8_t *to, int8_t value, size_t n)
{
    for (size_t vl; n; n -= vl, to += vl) {
        vl = __riscv_vsetvl_e8m8(n);
        __riscv_vse8_v_i8m8(to, __riscv_vmv_v_x_i8m8(value, vl), vl);
    }
}

/* Windows ox .. ox + n - 1 of one row of y, to columns of `to`, whose rows are `width` apart. */
static void gather_row(const windows *g, int32_t oy, int32_t ox, int32_t n, int8_t *to, size_t width)
{
    const int32_t stride = g->w.stride;
    const size_t row_bytes = (size_t)g->w.in * g->pixel_bytes, tap_step = g->tap_bytes * width;
    for (int32_t i = 0; i < g->h.taps; i++) {
        const int32_t iy = oy * g->h.stride - g->h.pad + i * g->h.dilation;
        for (int32_t j = 0; j < g->w.taps; j++, to += tap_step) {
            /* Windows first .. end - 1 have this tap inside of x. */
            const int32_t x0 = ox * stride - g->w.pad + j * g->w.dilation;
            int32_t first = x0 < 0 ? (-x0 + stride - 1) / stride : 0;
            int32_t end = x0 + (n - 1) * stride < g->w.in ? n : x0 < g->w.in ? (g->w.in - 1 - x0) / stride + 1 : 0;
            if (iy < 0 || iy >= g->h.in || first >= end)
                first = end = 0;
            if (end - first < n) {
                int8_t *row = to;
                for (uint32_t c = 0; c < g->tap_bytes; c++, row += width)
                    fill(row, g->fill, (size_t)n);
            }
            if (first == end)
                continue;
            const int8_t *from = g->image + (size_t)iy * row_bytes + (size_t)(x0 + first * stride) * g->pixel_bytes;
            const ptrdiff_t step = (ptrdiff_t)stride * (ptrdiff_t)g->pixel_bytes;
            int8_t *row = to + first;
            const size_t vl = __riscv_vsetvl_e8m2((size_t)(end - first)); /* all of them: n is at most a vector */
            for (const int8_t *stop = from + g->tap_bytes; from != stop; from++, row += width)
                __riscv_vse8_v_i8m2(row, __riscv_vlse8_v_i8m2(from, step, vl), vl);
        }
    }
}

/* The windows of output pixels first .. first + n - 1. */
static void gather(const windows *g, uint32_t first, uint32_t n, int8_t *to, size_t width)
{
    int32_t oy = (int32_t)first / g->w.out, ox = (int32_t)first % g->w.out;
    for (int32_t left = (int32_t)n; left; oy++, ox = 0) {
        const int32_t run = left < g->w.out - ox ? left : g->w.out - ox;
        gather_row(g, oy, ox, run, to, width);
        to += run;
        left -= run;
    }
}

/* One element of the windows by the weights of some channels. Four steps a turn, for the pointers' sake. */
#define SUM(channel, i) s##channel = __riscv_vwmacc_vx_i32m8(s##channel, w##channel[i], x, n);
#define STEP(i, sums)                                                                     \
    {                                                                                     \
        const vint16m4_t x = __riscv_vsext_vf2_i16m4(__riscv_vle8_v_i8m2(columns, n), n); \
        columns += width;                                                                 \
        sums(i)                                                                           \
    }
#define SUMS_3(i) SUM(0, i) SUM(1, i) SUM(2, i)
#define SUMS_1(i) SUM(0, i)

/* n pixels by three channels; q, y: of the first channel, y with y_stride from pixel to pixel. */
static __attribute__((noinline)) void tile_3(size_t n, const int8_t *columns, size_t width, const int8_t *w, size_t k,
                                             const pe_channel *q, const pe_output_s8 *out, int8_t *y,
                                             ptrdiff_t y_stride)
{
    const int8_t *w0 = w, *w1 = w + k, *w2 = w1 + k;
    vint32m8_t s0 = __riscv_vmv_v_x_i32m8(q[0].bias, n), s1 = __riscv_vmv_v_x_i32m8(q[1].bias, n),
               s2 = __riscv_vmv_v_x_i32m8(q[2].bias, n);
    for (const int8_t *end = w + (k & ~(size_t)3); w0 != end; w0 += 4, w1 += 4, w2 += 4) {
        STEP(0, SUMS_3)
        STEP(1, SUMS_3)
        STEP(2, SUMS_3)
        STEP(3, SUMS_3)
    }
    for (k &= 3; k; k--, w0++, w1++, w2++)
        STEP(0, SUMS_3)
    __riscv_vsse8_v_i8m2(y, y_stride, pe_rvv_requantize(s0, &q[0], out, n), n);
    __riscv_vsse8_v_i8m2(y + 1, y_stride, pe_rvv_requantize(s1, &q[1], out, n), n);
    __riscv_vsse8_v_i8m2(y + 2, y_stride, pe_rvv_requantize(s2, &q[2], out, n), n);
}

static __attribute__((noinline)) void tile_1(size_t n, const int8_t *columns, size_t width, const int8_t *w, size_t k,
                                             const pe_channel *q, const pe_output_s8 *out, int8_t *y,
                                             ptrdiff_t y_stride)
{
    const int8_t *w0 = w;
    vint32m8_t s0 = __riscv_vmv_v_x_i32m8(q->bias, n);
    for (const int8_t *end = w + (k & ~(size_t)3); w0 != end; w0 += 4) {
        STEP(0, SUMS_1)
        STEP(1, SUMS_1)
        STEP(2, SUMS_1)
        STEP(3, SUMS_1)
    }
    for (k &= 3; k; k--, w0++)
        STEP(0, SUMS_1)
    __riscv_vsse8_v_i8m2(y, y_stride, pe_rvv_requantize(s0, q, out, n), n);
}

bool pe_conv2d_s8__rvv(const pe_call *c)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[3];
    const uint32_t channels = (uint32_t)w->dims[0], groups = (uint32_t)p->groups, n = channels / groups;
    const uint32_t k = w->bytes / channels, pixels = (uint32_t)y->dims[1] * (uint32_t)y->dims[2];
    const uint32_t images = (uint32_t)x->dims[0], image_bytes = x->bytes / images, most = c->scratch_bytes / k;
    const pe_output_s8 out = {p->y_zero_point, p->y_min, p->y_max};
    const pe_channel *q = c->data[2];
    uint32_t width = (uint32_t)__riscv_vsetvl_e32m8(pixels); /* of a block; vsetvl may halve what does not fill two */
    width = width < most ? width : most;
    if (width < MIN_PIXELS || !pe_rvv_all_short(q, channels))
        return false;
    windows g = {
        .h = pe_axis_h(p, x, y, w->dims[1]),
        .w = pe_axis_w(p, x, y, w->dims[2]),
        .pixel_bytes = (uint32_t)x->dims[3],
        .tap_bytes = (uint32_t)w->dims[3],
        .fill = (int8_t)p->x_zero_point,
    };
    if (g.h.taps == 1 && g.w.taps == 1 && x->dims[1] == y->dims[1] && x->dims[2] == y->dims[2] && g.h.stride == 1 &&
        g.w.stride == 1 && g.h.pad == 0 && g.w.pad == 0) { /* all pixels are one row */
        g.w.in = g.w.out = (int32_t)pixels;
        g.h.in = g.h.out = 1;
    }
    for (uint32_t image = 0; image < images; image++)
        for (uint32_t group = 0; group < groups; group++) {
            g.image = (const int8_t *)c->data[0] + image * image_bytes + group * g.tap_bytes;
            for (uint32_t i = 0; i < pixels; i += width) {
                const uint32_t now = pixels - i < width ? pixels - i : width;
                gather(&g, i, now, c->scratch, width);
                const int8_t *rows = (const int8_t *)c->data[1] + group * n * k;
                const pe_channel *channel = q + group * n;
                int8_t *to = (int8_t *)c->data[3] + (image * pixels + i) * channels + group * n;
                uint32_t left = n;
                for (; left >= 3; left -= 3, rows += 3 * k, channel += 3, to += 3)
                    tile_3(now, c->scratch, width, rows, k, channel, &out, to, (ptrdiff_t)channels);
                for (; left; left--, rows += k, channel++, to++)
                    tile_1(now, c->scratch, width, rows, k, channel, &out, to, (ptrdiff_t)channels);
            }
        }
    return true;
}
