#include "kernels/bytes.h"
#include "kernels/rvv/rvv.h"
#include "ops/ops.h"
#include "ops/window.h"

/* depthwise_s8 with channels across the vectors, one pixel after the other, x and w as they lie. Taps outside of x read a
 * line of zero points. */

#define CHANNELS 128 /* at most, at a time; a vector up to VLEN 512 */

typedef struct block {
    pe_axis h, w;
    uint32_t channels;                 /* of x and y */
    const int8_t *image, *taps, *fill; /* from the block's first channel on; fill: zero points */
    int8_t *y;
    const int32_t *bias, *multiplier;
    const uint32_t *shift;
    pe_output_s8 out;
} block;

#define PRODUCT(x, w) __riscv_vwmul_vv_i16m4(__riscv_vle8_v_i8m2(x, vl), __riscv_vle8_v_i8m2(w, vl), vl)

static inline void store(vint32m8_t sum, const block *b, int8_t *y, size_t vl)
{
    const vuint32m8_t shift = __riscv_vle32_v_u32m8(b->shift, vl);
    const vint32m8_t multiplier = __riscv_vle32_v_i32m8(b->multiplier, vl);
    __riscv_vse8_v_i8m2(y, pe_rvv_requantize_each(sum, multiplier, shift, &b->out, vl), vl);
}

/* n windows in a row that lie inside of x, the first at x. Not inlined, nor is the next: for the registers' sake. */
static __attribute__((noinline)) void inner(const block *b, const int8_t *x, int32_t n, int8_t *y, size_t vl)
{
    const size_t pixel = b->channels, next = (size_t)b->w.dilation * pixel, stride = (size_t)b->w.stride * pixel;
    const size_t line = (size_t)b->h.dilation * (size_t)b->w.in * pixel;
    const int32_t rows = b->h.taps, taps = b->w.taps;
    for (; n; n--, x += stride, y += pixel) {
        const int8_t *from_row = x, *w = b->taps;
        vint32m8_t sum = __riscv_vle32_v_i32m8(b->bias, vl);
        for (int32_t i = rows; i; i--, from_row += line) {
            const int8_t *from = from_row;
            int32_t left = taps;
            for (; left >= 3; left -= 3, from += 3 * next, w += 3 * pixel) { /* products first: they have a type */
                const vint16m4_t p0 = PRODUCT(from, w), p1 = PRODUCT(from + next, w + pixel),
                                 p2 = PRODUCT(from + 2 * next, w + 2 * pixel);
                sum = __riscv_vwadd_wv_i32m8(sum, p0, vl);
                sum = __riscv_vwadd_wv_i32m8(sum, p1, vl);
                sum = __riscv_vwadd_wv_i32m8(sum, p2, vl);
            }
            for (; left; left--, from += next, w += pixel)
                sum = __riscv_vwadd_wv_i32m8(sum, PRODUCT(from, w), vl);
        }
        store(sum, b, y, vl);
    }
}

/* One window, at row iy and column x0 of x, which may lie outside. */
static __attribute__((noinline)) void at_edge(const block *b, int32_t iy, int32_t x0, int8_t *y, size_t vl)
{
    const size_t pixel = b->channels;
    const int8_t *w = b->taps;
    vint32m8_t sum = __riscv_vle32_v_i32m8(b->bias, vl);
    for (int32_t i = b->h.taps; i; i--, iy += b->h.dilation) {
        const uint32_t in = iy >= 0 && iy < b->h.in ? (uint32_t)b->w.in : 0;
        const int8_t *line = b->image + (in ? (size_t)iy * in * pixel : 0);
        uint32_t ix = (uint32_t)x0;
        for (int32_t j = b->w.taps; j; j--, ix += (uint32_t)b->w.dilation, w += pixel)
            sum = __riscv_vwadd_wv_i32m8(sum, PRODUCT(ix < in ? line + ix * pixel : b->fill, w), vl);
    }
    store(sum, b, y, vl);
}

static void run(const block *b, size_t vl)
{
    /* Of each row of y, windows first .. end - 1 lie inside of x from left to right. */
    const int32_t stride = b->w.stride, most = b->w.in - 1 - (b->w.taps - 1) * b->w.dilation + b->w.pad;
    const int32_t after = most < 0 ? 0 : most / stride + 1, end = after < b->w.out ? after : b->w.out;
    const int32_t before = (b->w.pad + stride - 1) / stride, first = before < end ? before : end;
    const size_t pixel = b->channels;
    int8_t *y = b->y;
    for (int32_t oy = 0; oy < b->h.out; oy++) {
        const int32_t iy = oy * b->h.stride - b->h.pad;
        const bool inside = iy >= 0 && iy + (b->h.taps - 1) * b->h.dilation < b->h.in;
        for (int32_t ox = 0; ox < b->w.out;) {
            const int32_t x0 = ox * stride - b->w.pad;
            const int32_t n = inside && ox == first && first < end ? end - first : 1;
            if (inside && ox == first && first < end)
                inner(b, b->image + ((size_t)iy * (size_t)b->w.in + (size_t)x0) * pixel, n, y, vl);
            else
                at_edge(b, iy, x0, y, vl);
            ox += n;
            y += (size_t)n * pixel;
        }
    }
}

bool pe_depthwise_s8__rvv(const pe_call *c)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[3];
    const uint32_t channels = (uint32_t)x->dims[3], images = (uint32_t)x->dims[0];
    const pe_channel *q = c->data[2];
    if (channels != (uint32_t)w->dims[2] || !pe_rvv_all_short(q, channels))
        return false;
    int8_t fill[CHANNELS];
    int32_t bias[CHANNELS], multiplier[CHANNELS];
    uint32_t shift[CHANNELS];
    pe_fill_bytes(fill, (uint8_t)p->x_zero_point, CHANNELS);
    for (uint32_t first = 0; first < channels;) {
        const uint32_t left = channels - first < CHANNELS ? channels - first : CHANNELS;
        const size_t vl = __riscv_vsetvl_e32m8(left);
        for (size_t i = 0; i < vl; i++) {
            bias[i] = q[first + i].bias;
            multiplier[i] = q[first + i].a & INT32_MAX;
            shift[i] = (uint32_t)q[first + i].b;
        }
        block b = {
            .h = pe_axis_h(p, x, y, w->dims[0]),
            .w = pe_axis_w(p, x, y, w->dims[1]),
            .channels = channels,
            .taps = (const int8_t *)c->data[1] + first,
            .fill = fill,
            .bias = bias,
            .multiplier = multiplier,
            .shift = shift,
            .out = {p->y_zero_point, p->y_min, p->y_max},
        };
        for (uint32_t image = 0; image < images; image++) {
            b.image = (const int8_t *)c->data[0] + image * (x->bytes / images) + first;
            b.y = (int8_t *)c->data[3] + image * (y->bytes / images) + first;
            run(&b, vl);
        }
        first += (uint32_t)vl;
    }
    return true;
}
