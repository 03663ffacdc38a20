#include "kernels/bytes.h"
#include "kernels/kernels.h"
#include "ops/f16.h"
#include "ops/weights.h"
#include "ops/window.h"

/* depthwise: y[n, oy, ox, c * multiplier + m] = sum over i, j of x[n, oy * stride - pad + i * dilation, ..., c] *
 * w[i, j, c * multiplier + m].
 *
 * Channel by channel: one channel of some rows of x is copied to scratch with its padding as values (x's zero point, or
 * +0), the plane, and serves all rows of y whose windows lie in it. Where even the rows of one row of y are too large,
 * because of a large dilation or stride, the plane is the taps of a single window. */

typedef struct depthwise {
    pe_axis h, w;
    uint32_t multiplier;
    uint32_t rows, cols;     /* of y per plane */
    uint32_t plane_w;        /* elements of a row of the plane */
    uint32_t plane_elements; /* what scratch holds */
    bool single;             /* the plane is the taps of one window */
} depthwise;

static depthwise resolve(const pe_call *c, uint32_t element)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[c->inputs];
    depthwise g = {
        .h = pe_axis_h(p, x, y, w->dims[0]),
        .w = pe_axis_w(p, x, y, w->dims[1]),
        .multiplier = (uint32_t)(w->dims[2] / x->dims[3]),
    };
    /* Rows of x that one row of y, and columns that all columns of y need. */
    const uint64_t window_h = (uint64_t)(g.h.taps - 1) * (uint64_t)g.h.dilation + 1;
    const uint64_t plane_w =
        (uint64_t)(g.w.out - 1) * (uint64_t)g.w.stride + (uint64_t)(g.w.taps - 1) * (uint64_t)g.w.dilation + 1;
    const uint64_t row_bytes = (uint64_t)g.h.taps * (uint64_t)g.w.in * (uint64_t)x->dims[3] * element;
    const uint64_t limit = (row_bytes > PE_SCRATCH_BYTES ? row_bytes : PE_SCRATCH_BYTES) / element;
    if (window_h * plane_w > limit) {
        g.single = true;
        g.rows = g.cols = 1;
        g.plane_w = (uint32_t)g.w.taps;
        g.plane_elements = (uint32_t)g.h.taps * g.plane_w;
        return g;
    }
    /* More rows of y while they fit into 2 KiB. */
    const uint32_t fit = PE_SCRATCH_BYTES / element / (uint32_t)plane_w, most = (uint32_t)g.h.out;
    const uint32_t rows = fit > window_h ? (fit - (uint32_t)window_h) / (uint32_t)g.h.stride + 1 : 1;
    g.rows = rows < most ? rows : most;
    g.cols = (uint32_t)g.w.out;
    g.plane_w = (uint32_t)plane_w;
    g.plane_elements = ((g.rows - 1) * (uint32_t)g.h.stride + (uint32_t)window_h) * (uint32_t)plane_w;
    return g;
}

/* Positions first .. end - 1 of n positions x0, x0 + step, ... lie in 0 .. in - 1. */
static void inside(int32_t x0, int32_t step, int32_t n, int32_t in, int32_t *first, int32_t *end)
{
    const int32_t before = x0 < 0 ? (-x0 + step - 1) / step : 0, below = x0 < in ? (in - x0 + step - 1) / step : 0;
    *first = before < n ? before : n;
    *end = below < n ? below : n;
}

/* Copies rows of n elements, `from_row` and `to_row` elements apart; elements of `from` are `step` apart. */
static void gather_s8(int32_t rows, int32_t n, const int8_t *from, size_t from_row, size_t step, int8_t *to,
                      size_t to_row)
{
    for (; rows > 0; rows--, from += from_row, to += to_row) {
        const int8_t *s = from;
        int8_t *d = to;
        for (const int8_t *end = to + (n & ~3); d != end; d += 4) {
            d[0] = *s;
            s += step;
            d[1] = *s;
            s += step;
            d[2] = *s;
            s += step;
            d[3] = *s;
            s += step;
        }
        for (const int8_t *end = to + n; d != end; s += step)
            *d++ = *s;
    }
}

static void gather_f32(int32_t rows, int32_t n, const float *from, size_t from_row, size_t step, float *to,
                       size_t to_row)
{
    for (; rows > 0; rows--, from += from_row, to += to_row)
        for (int32_t i = 0; i < n; i++)
            to[i] = from[(size_t)i * step];
}

/* All windows of the plane by one channel of w; offset: that of the first window in y. */
typedef void kernel_fn(const pe_call *c, const pe_dwconv_geometry *k, size_t channel, size_t offset);

static void run(const pe_call *c, uint32_t element, uint8_t fill, kernel_fn *kernel)
{
    const depthwise g = resolve(c, element);
    const size_t images = (size_t)c->tensor[0]->dims[0], channels = (size_t)c->tensor[0]->dims[3];
    const size_t channels_out = channels * g.multiplier, image_elements = c->tensor[0]->bytes / element / images;
    const int32_t y_step = g.single ? g.h.dilation : 1, x_step = g.single ? g.w.dilation : 1;
    const int32_t window_h = g.single ? g.h.taps : (g.h.taps - 1) * g.h.dilation + 1;
    pe_dwconv_geometry k = {
        .cols = g.cols,
        .kh = (size_t)g.h.taps,
        .kw = (size_t)g.w.taps,
        .tap_row = g.plane_w * (g.single ? 1 : (size_t)g.h.dilation),
        .tap_col = g.single ? 1 : (size_t)g.w.dilation,
        .step_row = g.plane_w * (size_t)g.h.stride,
        .step_col = (size_t)g.w.stride,
        .w_stride = channels_out,
        .y_stride = channels_out,
    };
    for (size_t n = 0; n < images; n++)
        for (int32_t oy = 0; oy < g.h.out; oy += (int32_t)g.rows)
            for (int32_t ox = 0; ox < g.w.out; ox += (int32_t)g.cols) {
                k.rows = g.h.out - oy < (int32_t)g.rows ? (size_t)(g.h.out - oy) : g.rows;
                const int32_t plane_h = ((int32_t)k.rows - 1) * g.h.stride + window_h, plane_w = (int32_t)g.plane_w;
                const int32_t y0 = oy * g.h.stride - g.h.pad, x0 = ox * g.w.stride - g.w.pad;
                int32_t top, bottom, left, right;
                inside(y0, y_step, plane_h, g.h.in, &top, &bottom);
                inside(x0, x_step, plane_w, g.w.in, &left, &right);
                /* The padding is the same for all channels. */
                pe_fill_bytes(c->scratch, fill, (size_t)plane_h * g.plane_w * element);
                const size_t to = (size_t)top * g.plane_w + (size_t)left;
                const size_t from =
                    bottom > top && right > left
                        ? ((size_t)(y0 + top * y_step) * (size_t)g.w.in + (size_t)(x0 + left * x_step)) * channels
                        : 0;
                const size_t from_row = (size_t)y_step * (size_t)g.w.in * channels, step = (size_t)x_step * channels;
                const size_t pixel = (n * (size_t)g.h.out + (size_t)oy) * (size_t)g.w.out + (size_t)ox;
                for (size_t channel = 0; channel < channels; channel++) {
                    const size_t x = n * image_elements + from + channel;
                    if (element == 1)
                        gather_s8(bottom - top, right - left, (const int8_t *)c->data[0] + x, from_row, step,
                                  (int8_t *)c->scratch + to, g.plane_w);
                    else
                        gather_f32(bottom - top, right - left, (const float *)c->data[0] + x, from_row, step,
                                   (float *)c->scratch + to, g.plane_w);
                    for (size_t m = channel * g.multiplier; m < (channel + 1) * g.multiplier; m++)
                        kernel(c, &k, m, pixel * channels_out + m);
                }
            }
}

static void kernel_s8(const pe_call *c, const pe_dwconv_geometry *k, size_t channel, size_t offset)
{
    const pe_conv2d_params *p = c->params;
    const pe_output_s8 out = {p->y_zero_point, p->y_min, p->y_max};
    c->kernels->dwconv_s8(k, c->scratch, (const int8_t *)c->data[1] + channel, (const pe_channel *)c->data[2] + channel,
                          &out, (int8_t *)c->data[3] + offset);
}

static void kernel_s8_fp32(const pe_call *c, const pe_dwconv_geometry *k, size_t channel, size_t offset)
{
    const pe_conv2d_params *p = c->params;
    const pe_output_s8 out = {p->y_zero_point, p->y_min, p->y_max};
    c->kernels->dwconv_fp32_s8(k, c->scratch, (const int8_t *)c->data[1] + channel,
                               (const pe_channel *)c->data[2] + channel, &out, (int8_t *)c->data[3] + offset);
}

static void kernel_f32(const pe_call *c, const pe_dwconv_geometry *k, size_t channel, size_t offset)
{
    const pe_conv2d_params *p = c->params;
    const float *bias = c->inputs > 2 && c->tensor[2] ? c->data[2] : NULL;
    c->kernels->dwconv_f32(k, c->scratch, (const float *)c->data[1] + channel, bias ? bias[channel] : 0, p->f_min,
                           p->f_max, (float *)c->data[c->inputs] + offset);
}

static void run_s8(const pe_call *c)
{
    const pe_conv2d_params *p = c->params;
    if (c->kernels->depthwise_s8 && c->kernels->depthwise_s8(c))
        return;
    run(c, 1, (uint8_t)p->x_zero_point, kernel_s8);
}

static void run_s8_fp32(const pe_call *c)
{
    const pe_conv2d_params *p = c->params;
    run(c, 1, (uint8_t)p->x_zero_point, kernel_s8_fp32);
}

static void run_f32(const pe_call *c)
{
    run(c, 4, 0, kernel_f32);
}

/* One output of float16 weights, window by window where it lies: few taps, so the widening costs more than the edges.
 * x, w: the channel's first element. */
static float sum_f16(const pe_axis *h, const pe_axis *v, const void *x, bool x_is_f16, size_t channels,
                     const uint16_t *w, size_t channels_out, int32_t oy, int32_t ox, float sum, bool fast)
{
    uint32_t tap = 0;
    uint16_t run = 0;
    for (int32_t i = 0; i < h->taps; i++)
        for (int32_t j = 0; j < v->taps; j++, w += channels_out) {
            const int32_t iy = oy * h->stride - h->pad + i * h->dilation,
                          ix = ox * v->stride - v->pad + j * v->dilation;
            const bool inside = iy >= 0 && iy < h->in && ix >= 0 && ix < v->in;
            const size_t at = inside ? ((size_t)iy * (size_t)v->in + (size_t)ix) * channels : 0;
            if (fast) {
                const uint16_t value = x_is_f16 ? ((const uint16_t *)x)[at] : pe_f16_round(((const float *)x)[at]);
                run = pe_fma16(inside ? value : 0, *w, run);
                if (++tap % PE_FAST16_RUN == 0) {
                    sum += pe_f16_widen(run);
                    run = 0;
                }
            } else {
                const float value = x_is_f16 ? pe_f16_widen(((const uint16_t *)x)[at]) : ((const float *)x)[at];
                sum = pe_fmaf(inside ? value : 0, pe_f16_widen(*w), sum);
            }
        }
    return tap % PE_FAST16_RUN ? sum + pe_f16_widen(run) : sum;
}

static void run_f16(const pe_call *c)
{
    if (c->kernels->depthwise_f16 && c->kernels->depthwise_f16(c))
        return;
    const pe_conv2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[c->inputs];
    const pe_axis h = pe_axis_h(p, x, y, w->dims[0]), v = pe_axis_w(p, x, y, w->dims[1]);
    const size_t channels = (size_t)x->dims[3], channels_out = (size_t)w->dims[2], multiplier = channels_out / channels;
    const uint32_t shift = pe_dtype_shift(x->dtype);
    const float *bias = c->inputs > 2 && c->tensor[2] ? c->data[2] : NULL;
    const pe_form_f16 form = pe_form_of(c, p->f_min, p->f_max);
    const uint8_t *image = c->data[0];
    size_t to = 0;
    for (int32_t n = 0; n < x->dims[0]; n++, image += x->bytes / (uint32_t)x->dims[0])
        for (int32_t oy = 0; oy < h.out; oy++)
            for (int32_t ox = 0; ox < v.out; ox++)
                for (size_t channel = 0; channel < channels_out; channel++, to++) {
                    const uint8_t *from = image + (channel / multiplier << shift);
                    const float sum =
                        sum_f16(&h, &v, from, form.a_is_f16, channels, (const uint16_t *)c->data[1] + channel,
                                channels_out, oy, ox, bias ? bias[channel] : 0, p->rounding == PE_ROUND_FAST16);
                    const float value = pe_clip_f32(sum, form.min, form.max);
                    if (form.c_is_f16)
                        ((uint16_t *)c->data[c->inputs])[to] = pe_f16_round(value);
                    else
                        ((float *)c->data[c->inputs])[to] = value;
                }
}

static const char *shape_fault(const pe_call *c)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[c->inputs];
    if (x->rank != 4 || w->rank != 3 || y->rank != 4)
        return "depthwise: x and y need four axes, w three";
    if (y->dims[0] != x->dims[0] || y->dims[3] != w->dims[2])
        return "depthwise: y is not [N of x, Ho, Wo, C_out of w]";
    if (p->groups != 0 || w->dims[2] % x->dims[3])
        return "depthwise: C_out is not a multiple of C, or groups is not 0";
    pe_axis h = pe_axis_h(p, x, y, w->dims[0]), v = pe_axis_w(p, x, y, w->dims[1]);
    if (!pe_axis_ok(&h) || !pe_axis_ok(&v))
        return "depthwise: stride, dilation or padding is out of range, or y is larger than they allow";
    return NULL;
}

/* What all kinds of one type ask for. */
static const char *fault(const pe_call *c, uint8_t dtype)
{
    const char *const of_type = pe_weights_fault(c, dtype);
    return of_type ? of_type : shape_fault(c);
}

static pe_status check_rounding(const pe_call *c, int32_t rounding, uint32_t *scratch_bytes, const char **text)
{
    const pe_conv2d_params *p = c->params;
    *text = fault(c, PE_S8);
    if (!*text)
        *text = pe_s8_fault(c, c->tensor[1]->dims[2], p->x_zero_point, p->y_zero_point, p->y_min, p->y_max);
    if (!*text && p->rounding != rounding)
        *text = "depthwise_s8: the rounding is not the kind's";
    if (*text)
        return PE_ERR_SHAPE;
    *scratch_bytes = resolve(c, 1).plane_elements;
    return PE_OK;
}

static pe_status check_s8(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    return check_rounding(c, PE_ROUND_TFLITE, scratch_bytes, text);
}

static pe_status check_s8_fp32(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    return check_rounding(c, PE_ROUND_FP32, scratch_bytes, text);
}

static pe_status check_f32(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_conv2d_params *p = c->params;
    *text = fault(c, PE_F32);
    if (!*text)
        *text = pe_f32_fault(c, c->tensor[1]->dims[2], p->f_min, p->f_max);
    if (*text)
        return PE_ERR_SHAPE;
    *scratch_bytes = resolve(c, 4).plane_elements * 4;
    return PE_OK;
}

static pe_status check_f16(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_conv2d_params *p = c->params;
    *scratch_bytes = 0;
    *text = shape_fault(c);
    if (!*text)
        *text = pe_f16_fault(c, c->tensor[1]->dims[2], p->rounding, p->f_min, p->f_max);
    return *text ? PE_ERR_SHAPE : PE_OK;
}

const pe_op_def pe_op_def_depthwise_s8 = {
    .kind = PE_OP_DEPTHWISE_S8,
    .params_bytes = sizeof(pe_conv2d_params),
    .min_inputs = 3,
    .max_inputs = 3,
    .outputs = 1,
    .name = "depthwise_s8",
    .check = check_s8,
    .run = run_s8,
};

const pe_op_def pe_op_def_depthwise_s8_fp32 = {
    .kind = PE_OP_DEPTHWISE_S8_FP32,
    .params_bytes = sizeof(pe_conv2d_params),
    .min_inputs = 3,
    .max_inputs = 3,
    .outputs = 1,
    .name = "depthwise_s8_fp32",
    .check = check_s8_fp32,
    .run = run_s8_fp32,
};

const pe_op_def pe_op_def_depthwise_f32 = {
    .kind = PE_OP_DEPTHWISE_F32,
    .params_bytes = sizeof(pe_conv2d_params),
    .min_inputs = 2,
    .max_inputs = 3,
    .outputs = 1,
    .optional = 1 << 2,
    .name = "depthwise_f32",
    .check = check_f32,
    .run = run_f32,
};

const pe_op_def pe_op_def_depthwise_f16 = {
    .kind = PE_OP_DEPTHWISE_F16,
    .params_bytes = sizeof(pe_conv2d_params),
    .min_inputs = 2,
    .max_inputs = 3,
    .outputs = 1,
    .optional = 1 << 2,
    .name = "depthwise_f16",
    .check = check_f16,
    .run = run_f16,
};
