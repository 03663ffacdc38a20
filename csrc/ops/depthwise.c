#include "kernels/kernels.h"
#include "ops/check.h"
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

/* Copies `rows` rows of a plane to scratch: positions (y0 + r * y_step, x0 + c * x_step) of one channel. */
static void gather(const depthwise *g, const uint8_t *image, size_t pixel, uint32_t element, uint32_t rows, int32_t y0,
                   int32_t y_step, int32_t x0, int32_t x_step, uint8_t fill, uint8_t *to)
{
    const int32_t cols = (int32_t)g->plane_w, left = x0 < 0 ? (-x0 + x_step - 1) / x_step : 0;
    const int32_t right = x0 < g->w.in ? (g->w.in - x0 + x_step - 1) / x_step : 0;
    const int32_t first = left < cols ? left : cols, end = right < cols ? right : cols;
    const size_t step = pixel * (size_t)x_step;
    for (uint32_t r = 0; r < rows; r++, y0 += y_step, to += (size_t)cols * element) {
        if (y0 < 0 || y0 >= g->h.in || first >= end) {
            pe_fill_bytes(to, fill, (size_t)cols * element);
            continue;
        }
        const uint8_t *from = image + ((size_t)y0 * (size_t)g->w.in + (size_t)(x0 + first * x_step)) * pixel * element;
        pe_fill_bytes(to, fill, (size_t)first * element);
        if (element == 1) {
            uint8_t *d = to + first;
            for (int32_t i = first; i < end; i++, from += step)
                *d++ = *from;
        } else {
            float *d = (float *)(void *)to + first;
            const float *s = (const float *)(const void *)from;
            for (int32_t i = first; i < end; i++, s += step)
                *d++ = *s;
        }
        pe_fill_bytes(to + (size_t)end * element, fill, (size_t)(cols - end) * element);
    }
}

/* All windows of the plane by one channel of w; offset: that of the first window in y. */
typedef void kernel_fn(const pe_call *c, const pe_dwconv_geometry *k, size_t channel, size_t offset);

static void run(const pe_call *c, uint32_t element, uint8_t fill, kernel_fn *kernel)
{
    const depthwise g = resolve(c, element);
    const size_t images = (size_t)c->tensor[0]->dims[0], channels = (size_t)c->tensor[0]->dims[3];
    const size_t channels_out = channels * g.multiplier, image_bytes = c->tensor[0]->bytes / images;
    const int32_t y_step = g.single ? g.h.dilation : 1, x_step = g.single ? g.w.dilation : 1;
    const uint32_t window_h = (uint32_t)(g.single ? g.h.taps : (g.h.taps - 1) * g.h.dilation + 1);
    pe_dwconv_geometry k = {
        .cols = g.cols,
        .kh = (size_t)g.h.taps,
        .kw = (size_t)g.w.taps,
        .tap_row = g.plane_w * (g.single ? 1 : (size_t)g.h.dilation),
        .tap_col = g.single ? 1 : (size_t)g.w.dilation,
        .step_row = g.plane_w * (size_t)g.h.stride,
        .step_col = (size_t)g.w.stride,
        .w_stride = channels_out,
        .y_row = (size_t)g.w.out * channels_out,
        .y_col = channels_out,
    };
    for (size_t n = 0; n < images; n++)
        for (size_t channel = 0; channel < channels; channel++) {
            const uint8_t *image = (const uint8_t *)c->data[0] + n * image_bytes + channel * element;
            for (int32_t oy = 0; oy < g.h.out; oy += (int32_t)g.rows) {
                k.rows = g.h.out - oy < (int32_t)g.rows ? (size_t)(g.h.out - oy) : g.rows;
                const uint32_t plane_h = ((uint32_t)k.rows - 1) * (uint32_t)g.h.stride + window_h;
                for (int32_t ox = 0; ox < g.w.out; ox += (int32_t)g.cols) {
                    gather(&g, image, channels, element, plane_h, oy * g.h.stride - g.h.pad, y_step,
                           ox * g.w.stride - g.w.pad, x_step, fill, c->scratch);
                    size_t pixel = (n * (size_t)g.h.out + (size_t)oy) * (size_t)g.w.out + (size_t)ox;
                    for (size_t m = channel * g.multiplier; m < (channel + 1) * g.multiplier; m++)
                        kernel(c, &k, m, pixel * channels_out + m);
                }
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
    run(c, 1, (uint8_t)p->x_zero_point, kernel_s8);
}

static void run_f32(const pe_call *c)
{
    run(c, 4, 0, kernel_f32);
}

/* What both types ask for. */
static const char *fault(const pe_call *c, uint8_t dtype)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[c->inputs];
    if (x->dtype != dtype || w->dtype != dtype || y->dtype != dtype)
        return "depthwise: x, w and y are not of the kind's type";
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

static pe_status check_s8(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *q = c->tensor[2];
    *text = fault(c, PE_S8);
    if (!*text && (q->dtype != PE_S32 || q->rank != 2 || q->dims[0] != c->tensor[1]->dims[2] || q->dims[1] != 3))
        *text = "depthwise_s8: q is not int32 [C_out, 3]";
    if (!*text && p->rounding != PE_ROUND_TFLITE)
        *text = "depthwise_s8: unknown rounding";
    if (!*text && (!pe_is_s8(p->x_zero_point) || !pe_is_s8(p->y_zero_point) || !pe_is_range_s8(p->y_min, p->y_max)))
        *text = "depthwise_s8: a zero point or the clamp is not int8";
    if (*text)
        return PE_ERR_SHAPE;
    *scratch_bytes = resolve(c, 1).plane_elements;
    return PE_OK;
}

static pe_status check_f32(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *bias = c->inputs > 2 ? c->tensor[2] : NULL;
    *text = fault(c, PE_F32);
    if (!*text && bias && (bias->dtype != PE_F32 || bias->rank != 1 || bias->dims[0] != c->tensor[1]->dims[2]))
        *text = "depthwise_f32: bias is not float32 [C_out]";
    if (!*text && !pe_is_range_f32(p->f_min, p->f_max))
        *text = "depthwise_f32: f_min and f_max are no range";
    if (*text)
        return PE_ERR_SHAPE;
    *scratch_bytes = resolve(c, 4).plane_elements * 4;
    return PE_OK;
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
