#include "kernels/bytes.h"
#include "kernels/kernels.h"
#include "ops/f16.h"
#include "ops/weights.h"
#include "ops/window.h"

/* conv2d: y[n, oy, ox, co] = sum over i, j, c of x[n, oy * stride - pad + i * dilation, ..., c] * w[co, i, j, c].
 *
 * A GEMM of windows by output channels. Windows that lie in x as one run of bytes are used where they are; others are
 * copied to scratch, two at a time or more if the plan gives the room, with padding as values: x's zero point, or +0. Works
 * on bytes, for int8 and float.
 */

#define PE_CONV_ROWS 2 /* windows in scratch: the tile height of the portable kernel */

typedef struct conv {
    pe_axis h, w;
    uint32_t groups;
    uint32_t tap_bytes;    /* C / groups elements: what one tap reads of one pixel */
    uint32_t pixel_bytes;  /* C elements */
    uint32_t window_bytes; /* kh * kw taps */
    uint32_t k;            /* elements of a window */
    uint32_t rows;         /* windows in scratch; 0: x is read where it lies */
} conv;

/* element: of x, bytes. */
static conv resolve(const pe_call *c, uint32_t element)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[c->inputs];
    conv g = {
        .h = pe_axis_h(p, x, y, w->dims[1]),
        .w = pe_axis_w(p, x, y, w->dims[2]),
        .groups = (uint32_t)p->groups,
        .tap_bytes = (uint32_t)w->dims[3] * element,
        .pixel_bytes = (uint32_t)x->dims[3] * element,
        .k = pe_tensor_elements(w) / (uint32_t)w->dims[0],
    };
    g.window_bytes = g.k * element;
    bool one_run = g.h.taps == 1 && (g.w.taps == 1 || (g.groups == 1 && g.w.dilation == 1));
    if (!one_run || !pe_axis_inside(&g.h) || !pe_axis_inside(&g.w)) {
        /* Two windows while they fit into 2 KiB or into the rows of x that a window covers. */
        uint64_t row_bytes = (uint64_t)g.h.taps * (uint64_t)g.w.in * g.pixel_bytes, two = 2 * (uint64_t)g.window_bytes;
        g.rows = two <= PE_SCRATCH_BYTES || two <= row_bytes ? PE_CONV_ROWS : 1;
    }
    return g;
}

/* Copies the windows of `count` output pixels from (oy, ox) on to `to`, where the taps of a row are one run of bytes in
 * x, which has all columns of them unless it is one. image: x at one n. */
static void gather_runs(const conv *g, const uint8_t *image, int32_t oy, int32_t ox, size_t count, uint8_t fill,
                        uint8_t *to)
{
    const int32_t taps = g->w.taps, x0 = ox * g->w.stride - g->w.pad, left = x0 < 0 ? -x0 : 0, right = g->w.in - x0;
    const int32_t first = left < taps ? left : taps, end = right < 0 ? 0 : right < taps ? right : taps;
    const uint32_t before = (uint32_t)first * g->tap_bytes, inside = (uint32_t)(end - first) * g->tap_bytes;
    const uint32_t after = (uint32_t)(taps - end) * g->tap_bytes, stride = (uint32_t)g->w.in * g->pixel_bytes;
    int32_t iy = oy * g->h.stride - g->h.pad;
    for (int32_t i = 0; i < g->h.taps; i++, iy += g->h.dilation, to += before + inside + after) {
        if (iy < 0 || iy >= g->h.in || inside == 0) {
            for (size_t window = 0; window < count; window++)
                pe_fill_bytes(to + window * g->window_bytes, fill, before + inside + after);
            continue;
        }
        pe_fill_bytes(to, fill, before);
        pe_copy_rows(to + before, g->window_bytes,
                     image + (uint32_t)iy * stride + (uint32_t)(x0 + first) * g->pixel_bytes,
                     (size_t)g->w.stride * g->pixel_bytes, inside, count);
        pe_fill_bytes(to + before + inside, fill, after);
    }
}

/* Of `windows` pixels of a row, from ox on: those whose columns all lie in x at once. */
static void gather_rows(const conv *g, const uint8_t *image, int32_t oy, int32_t ox, int32_t windows, uint8_t fill,
                        uint8_t *to)
{
    const int32_t end = ox + windows, spare = g->w.in - g->w.taps + g->w.pad;
    const int32_t inside = (g->w.pad + g->w.stride - 1) / g->w.stride;
    int32_t beyond = spare < 0 ? 0 : spare / g->w.stride + 1;
    beyond = beyond < end ? beyond : end;
    for (size_t count; ox < end; ox += (int32_t)count, to += count * g->window_bytes) {
        count = ox >= inside && ox < beyond ? (size_t)(beyond - ox) : 1;
        gather_runs(g, image, oy, ox, count, fill, to);
    }
}

/* The same, tap by tap; image: x at one n and the first channel of the group. */
static void gather_taps(const conv *g, const uint8_t *image, int32_t oy, int32_t ox, int32_t windows, uint8_t fill,
                        uint8_t *to)
{
    const uint32_t stride = (uint32_t)g->w.in * g->pixel_bytes;
    for (const int32_t end = ox + windows; ox < end; ox++) {
        int32_t iy = oy * g->h.stride - g->h.pad;
        for (int32_t i = 0; i < g->h.taps; i++, iy += g->h.dilation) {
            int32_t ix = ox * g->w.stride - g->w.pad;
            for (int32_t j = 0; j < g->w.taps; j++, ix += g->w.dilation, to += g->tap_bytes)
                if (iy < 0 || iy >= g->h.in || ix < 0 || ix >= g->w.in)
                    pe_fill_bytes(to, fill, g->tap_bytes);
                else
                    pe_copy_bytes(to, image + (uint32_t)iy * stride + (uint32_t)ix * g->pixel_bytes, g->tap_bytes);
        }
    }
}

/* m windows, window_stride elements apart, by the output channels of one group; pixel: that of the first window. */
typedef void gemm_fn(const pe_call *c, const conv *g, uint32_t group, size_t m, const uint8_t *windows,
                     size_t window_stride, size_t pixel);

static void run(const pe_call *c, conv *g, uint8_t fill, uint32_t element, gemm_fn *gemm)
{
    if (g->rows && c->scratch_bytes / g->window_bytes > g->rows)
        g->rows = c->scratch_bytes / g->window_bytes;
    const size_t images = (size_t)c->tensor[0]->dims[0], pixels = (size_t)g->h.out * (size_t)g->w.out;
    void (*const gather)(const conv *, const uint8_t *, int32_t, int32_t, int32_t, uint8_t, uint8_t *) =
        g->groups == 1 && g->w.dilation == 1 ? gather_rows : gather_taps;
    const size_t image_bytes = (size_t)g->h.in * (size_t)g->w.in * g->pixel_bytes;
    for (size_t n = 0; n < images; n++)
        for (uint32_t group = 0; group < g->groups; group++) {
            const uint8_t *image = (const uint8_t *)c->data[0] + n * image_bytes + group * g->tap_bytes;
            if (g->rows == 0) {
                /* As many windows at once as lie equally far apart: a row of y, or all of it. */
                const size_t step = (size_t)g->w.stride, row_step = (size_t)g->h.stride * (size_t)g->w.in;
                const bool even = (size_t)g->w.out * step == row_step;
                const size_t run_length = even ? pixels : (size_t)g->w.out;
                for (size_t i = 0; i < pixels; i += run_length, image += row_step * g->pixel_bytes)
                    gemm(c, g, group, run_length, image, step * (g->pixel_bytes / element), n * pixels + i);
                continue;
            }
            int32_t oy = 0, ox = 0;
            for (size_t i = 0; i < pixels;) {
                uint8_t *to = c->scratch;
                size_t m = 0;
                for (int32_t windows; m < g->rows && i + m < pixels; m += (size_t)windows) {
                    windows = (size_t)(g->w.out - ox) < g->rows - m ? g->w.out - ox : (int32_t)(g->rows - m);
                    gather(g, image, oy, ox, windows, fill, to);
                    to += (size_t)windows * g->window_bytes;
                    ox += windows;
                    if (ox == g->w.out) {
                        ox = 0;
                        oy++;
                    }
                }
                gemm(c, g, group, m, c->scratch, g->k, n * pixels + i);
                i += m;
            }
        }
}

static void gemm_by(const pe_call *c, const conv *g, uint32_t group, size_t m, const uint8_t *windows,
                    size_t window_stride, size_t pixel, pe_gemm_s8_fn *kernel)
{
    const pe_conv2d_params *p = c->params;
    const size_t channels = (size_t)c->tensor[1]->dims[0], n = channels / g->groups, first = group * n;
    const pe_output_s8 out = {p->y_zero_point, p->y_min, p->y_max};
    kernel(m, n, g->k, (const int8_t *)windows, window_stride, (const int8_t *)c->data[1] + first * g->k,
           (const pe_channel *)c->data[2] + first, &out, (int8_t *)c->data[3] + pixel * channels + first, channels);
}

static void gemm_s8(const pe_call *c, const conv *g, uint32_t group, size_t m, const uint8_t *windows,
                    size_t window_stride, size_t pixel)
{
    gemm_by(c, g, group, m, windows, window_stride, pixel, c->kernels->gemm_s8);
}

static void gemm_s8_fp32(const pe_call *c, const conv *g, uint32_t group, size_t m, const uint8_t *windows,
                         size_t window_stride, size_t pixel)
{
    gemm_by(c, g, group, m, windows, window_stride, pixel, c->kernels->gemm_fp32_s8);
}

static void gemm_f32(const pe_call *c, const conv *g, uint32_t group, size_t m, const uint8_t *windows,
                     size_t window_stride, size_t pixel)
{
    const pe_conv2d_params *p = c->params;
    const size_t channels = (size_t)c->tensor[1]->dims[0], n = channels / g->groups, first = group * n;
    const float *bias = c->inputs > 2 && c->tensor[2] ? (const float *)c->data[2] + first : NULL;
    c->kernels->gemm_f32(m, n, g->k, (const float *)(const void *)windows, window_stride,
                         (const float *)c->data[1] + first * g->k, bias, p->f_min, p->f_max,
                         (float *)c->data[c->inputs] + pixel * channels + first, channels);
}

static void gemm_f16(const pe_call *c, const conv *g, uint32_t group, size_t m, const uint8_t *windows,
                     size_t window_stride, size_t pixel)
{
    const pe_conv2d_params *p = c->params;
    const size_t channels = (size_t)c->tensor[1]->dims[0], n = channels / g->groups, first = group * n;
    const float *bias = c->inputs > 2 && c->tensor[2] ? (const float *)c->data[2] + first : NULL;
    const pe_form_f16 form = pe_form_of(c, p->f_min, p->f_max);
    const size_t at = (pixel * channels + first) << pe_dtype_shift(c->tensor[c->inputs]->dtype);
    pe_gemm_f16_of(c, p->rounding)(m, n, g->k, windows, window_stride, (const uint16_t *)c->data[1] + first * g->k,
                                   bias, &form, (uint8_t *)c->data[c->inputs] + at, channels);
}

static void run_s8(const pe_call *c)
{
    const pe_conv2d_params *p = c->params;
    if (c->kernels->conv2d_s8 && c->kernels->conv2d_s8(c))
        return;
    conv g = resolve(c, 1);
    run(c, &g, (uint8_t)p->x_zero_point, 1, gemm_s8);
}

static void run_s8_fp32(const pe_call *c)
{
    const pe_conv2d_params *p = c->params;
    conv g = resolve(c, 1);
    run(c, &g, (uint8_t)p->x_zero_point, 1, gemm_s8_fp32);
}

static void run_f32(const pe_call *c)
{
    conv g = resolve(c, 4);
    run(c, &g, 0, 4, gemm_f32);
}

static void run_f16(const pe_call *c)
{
    const uint32_t element = 1u << pe_dtype_shift(c->tensor[0]->dtype);
    conv g = resolve(c, element);
    run(c, &g, 0, element, gemm_f16);
}

static const char *shape_fault(const pe_call *c)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[c->inputs];
    if (x->rank != 4 || w->rank != 4 || y->rank != 4)
        return "conv2d: x, w and y need four axes";
    if (y->dims[0] != x->dims[0] || y->dims[3] != w->dims[0])
        return "conv2d: y is not [N of x, Ho, Wo, C_out of w]";
    if (p->groups < 1 || x->dims[3] % p->groups || w->dims[0] % p->groups || w->dims[3] != x->dims[3] / p->groups)
        return "conv2d: the channels of x and w and the groups do not fit together";
    pe_axis h = pe_axis_h(p, x, y, w->dims[1]), v = pe_axis_w(p, x, y, w->dims[2]);
    if (!pe_axis_ok(&h) || !pe_axis_ok(&v))
        return "conv2d: stride, dilation or padding is out of range, or y is larger than they allow";
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
        *text = pe_s8_fault(c, c->tensor[1]->dims[0], p->x_zero_point, p->y_zero_point, p->y_min, p->y_max);
    if (!*text && p->rounding != rounding)
        *text = "conv2d_s8: the rounding is not the kind's";
    if (!*text && c->tensor[1]->layout == PE_LAYOUT_INTERLEAVED_ROWS)
        *text = "conv2d_s8: interleaved rows are of linear_s8";
    if (!*text && c->tensor[1]->layout && p->groups > 1 && c->tensor[1]->dims[0] / p->groups % 2)
        *text = "conv2d_s8: the mixed rows of a group are no pairs";
    if (*text)
        return PE_ERR_SHAPE;
    conv g = resolve(c, 1);
    *scratch_bytes = g.rows * g.window_bytes;
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
        *text = pe_f32_fault(c, c->tensor[1]->dims[0], p->f_min, p->f_max);
    if (*text)
        return PE_ERR_SHAPE;
    conv g = resolve(c, 4);
    *scratch_bytes = g.rows * g.window_bytes;
    return PE_OK;
}

static pe_status check_f16(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_conv2d_params *p = c->params;
    *text = shape_fault(c);
    if (!*text)
        *text = pe_f16_fault(c, c->tensor[1]->dims[0], p->rounding, p->f_min, p->f_max);
    if (*text)
        return PE_ERR_SHAPE;
    conv g = resolve(c, 1u << pe_dtype_shift(c->tensor[0]->dtype));
    *scratch_bytes = g.rows * g.window_bytes;
    return PE_OK;
}

const pe_op_def pe_op_def_conv2d_s8 = {
    .kind = PE_OP_CONV2D_S8,
    .params_bytes = sizeof(pe_conv2d_params),
    .min_inputs = 3,
    .max_inputs = 3,
    .outputs = 1,
    .packed = 1 << 1,
    .name = "conv2d_s8",
    .check = check_s8,
    .run = run_s8,
};

const pe_op_def pe_op_def_conv2d_s8_fp32 = {
    .kind = PE_OP_CONV2D_S8_FP32,
    .params_bytes = sizeof(pe_conv2d_params),
    .min_inputs = 3,
    .max_inputs = 3,
    .outputs = 1,
    .name = "conv2d_s8_fp32",
    .check = check_s8_fp32,
    .run = run_s8_fp32,
};

const pe_op_def pe_op_def_conv2d_f32 = {
    .kind = PE_OP_CONV2D_F32,
    .params_bytes = sizeof(pe_conv2d_params),
    .min_inputs = 2,
    .max_inputs = 3,
    .outputs = 1,
    .optional = 1 << 2,
    .name = "conv2d_f32",
    .check = check_f32,
    .run = run_f32,
};

const pe_op_def pe_op_def_conv2d_f16 = {
    .kind = PE_OP_CONV2D_F16,
    .params_bytes = sizeof(pe_conv2d_params),
    .min_inputs = 2,
    .max_inputs = 3,
    .outputs = 1,
    .optional = 1 << 2,
    .name = "conv2d_f16",
    .check = check_f16,
    .run = run_f16,
};
