#include "kernels/bytes.h"
#include "ops/gradient.h"
#include "ops/window.h"

/* Gradients of conv2d and depthwise, of one walk each: over rows of dx, or of dw.
 *
 * dgrad: dx[n, y, x, c] = sum over i, j, co of dy[n, oy, ox, co] * w[co, i, j, c], with oy * stride - pad + i * dilation =
 * y, taps descending, so that dy is met in ascending order.
 * wgrad: dw[co, i, j, c] = sum over n, oy, ox of dy[n, oy, ox, co] * x[n, oy * stride - pad + i * dilation, .., c].
 *
 * Where windows reach beyond an image, its row goes to scratch with its padding; products with +0 count like any. */

typedef struct conv {
    pe_axis h, w; /* in: of x and dx, out: of dy */
    size_t images, groups;
    size_t inputs, outputs; /* channels of a group: of x, of dy. depthwise: of all, and one group */
    size_t multiplier;      /* depthwise: outputs / inputs; else 0 */
} conv;

static conv resolve(const pe_call *c, bool wgrad)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *dy = c->tensor[0], *x = c->tensor[wgrad ? 1 : 2], *w = c->tensor[wgrad ? 2 : 1];
    const bool depthwise = w->rank == 3;
    const size_t groups = depthwise ? 1 : (size_t)p->groups;
    conv g = {
        .h = pe_axis_h(p, x, dy, w->dims[depthwise ? 0 : 1]),
        .w = pe_axis_w(p, x, dy, w->dims[depthwise ? 1 : 2]),
        .images = (size_t)x->dims[0],
        .groups = groups,
        .inputs = (size_t)x->dims[3] / groups,
        .outputs = (size_t)dy->dims[3] / groups,
    };
    g.multiplier = depthwise ? g.outputs / g.inputs : 0;
    return g;
}

/* A convolution of single pixels is linear over all of them. */
static bool is_linear(const conv *g)
{
    const pe_axis *h = &g->h, *w = &g->w;
    return g->groups == 1 && g->multiplier == 0 && h->taps == 1 && w->taps == 1 && h->stride == 1 && w->stride == 1 &&
           h->pad == 0 && w->pad == 0 && h->in == h->out && w->in == w->out;
}

/* Rows of an image with the columns that its windows read: where it lies, or copied with its padding. */
typedef struct rows {
    const uint8_t *data;
    int32_t in_h, in_w;
    int32_t first, end; /* columns; from below 0 to beyond in_w */
    size_t pixel;       /* bytes of a pixel */
    size_t slice;       /* those of a group's channels */
    bool copies;        /* reaches beyond the image: scratch holds rows of slices */
    uint8_t *scratch;
} rows;

static int32_t floor_div(int32_t a, int32_t b)
{
    return a / b - (a % b < 0);
}

/* The positions that windows read along an axis of x, or those of dy that taps of dx line up with: first .. end - 1. */
static void reach(const pe_axis *a, bool wgrad, int32_t *first, int32_t *end)
{
    const int32_t span = (a->taps - 1) * a->dilation;
    *first = wgrad ? -a->pad : floor_div(a->pad - span, a->stride);
    *end = (wgrad ? (a->out - 1) * a->stride - a->pad + span : (a->in - 1 + a->pad) / a->stride) + 1;
}

/* data and scratch are the caller's to set. element: bytes. */
static rows rows_of(const conv *g, bool wgrad, size_t element)
{
    const size_t channels = wgrad ? g->inputs : g->outputs;
    rows r = {
        .in_h = wgrad ? g->h.in : g->h.out,
        .in_w = wgrad ? g->w.in : g->w.out,
        .pixel = channels * g->groups * element,
        .slice = channels * element,
    };
    int32_t top, bottom;
    reach(&g->h, wgrad, &top, &bottom);
    reach(&g->w, wgrad, &r.first, &r.end);
    r.copies = top < 0 || bottom > r.in_h || r.first < 0 || r.end > r.in_w;
    return r;
}

static uint64_t rows_bytes(const rows *r)
{
    return r->copies ? (uint64_t)(r->end - r->first) * r->slice : 0;
}

/* Rows of x at a time for runs of float16; else one. */
static size_t lines_of(const pe_gradient *t, const conv *g, const rows *r)
{
    const uint64_t fit = r->copies ? PE_FAST16_SCRATCH / rows_bytes(r) : (uint64_t)g->h.out;
    return !t->fast || g->multiplier || fit < 1 ? 1 : fit < (uint64_t)g->h.out ? (size_t)fit : (size_t)g->h.out;
}

/* Elements from pixel to pixel of a row. */
static size_t rows_step(const rows *r, size_t element)
{
    return (r->copies ? r->slice : r->pixel) / element;
}

/* Column `first` of row y of an image, for one group; y may lie outside. Copies are the `slot`-th row of scratch. */
static const uint8_t *row_at(const rows *r, size_t image, int32_t y, size_t group, size_t slot)
{
    const uint8_t *from = r->data + image * (size_t)r->in_h * (size_t)r->in_w * r->pixel + group * r->slice;
    const int32_t left = r->first < 0 ? 0 : r->first, right = r->end < r->in_w ? r->end : r->in_w;
    const size_t at = (size_t)y * (size_t)r->in_w + (size_t)left;
    if (!r->copies)
        return from + at * r->pixel;
    uint8_t *const row = r->scratch + slot * rows_bytes(r);
    if (left >= right)
        return row;
    uint8_t *to = row + (size_t)(left - r->first) * r->slice;
    if (y < 0 || y >= r->in_h)
        pe_fill_bytes(to, 0, (size_t)(right - left) * r->slice);
    else if (r->slice == r->pixel)
        pe_copy_bytes(to, from + at * r->pixel, (size_t)(right - left) * r->slice);
    else
        for (size_t i = 0; i < (size_t)(right - left); i++)
            pe_copy_bytes(to + i * r->slice, from + (at + i) * r->pixel, r->slice);
    return row;
}

/* Elements of w from output to output, and from tap to tap. */
typedef struct weights {
    size_t output, tap;
} weights;

/* Adds one row of dy to the sums of pixels x, x + stride .. of a row of dx. before: rows of dy that they have seen. */
static void conv2d_pixels(const pe_gradient *t, const conv *g, const rows *r, const uint8_t *row, const uint8_t *w,
                          int32_t x, uint32_t before, pe_sums s, size_t at)
{
    const size_t step = rows_step(r, pe_a_bytes(t)), channels = g->inputs * g->groups;
    const pe_lined l = pe_lined_up(&g->w, x);
    pe_acc_geometry k = {
        .m = (size_t)((g->w.in - x - 1) / g->w.stride) + 1,
        .n = g->inputs,
        .k = g->outputs,
        .a_m = step,
        .a_k = 1,
        .b_k = (size_t)g->h.taps * (size_t)g->w.taps * g->inputs,
        .c_m = (size_t)g->w.stride * channels,
        .in_run = (uint32_t)((uint64_t)before * (uint32_t)l.count * g->outputs % PE_FAST16_RUN),
        .rows = (size_t)l.count, /* of products: the taps that line up */
        .a_row = l.window_step * (ptrdiff_t)step,
        .b_row = l.tap_step * (ptrdiff_t)g->inputs,
    };
    if (l.count)
        pe_gemm_acc(t, &k, row + (size_t)(l.window - r->first) * step * pe_a_bytes(t),
                    w + (size_t)l.tap * g->inputs * pe_b_bytes(t), s, at + (size_t)x * channels);
}

static void depthwise_pixels(const pe_gradient *t, const conv *g, const rows *r, const uint8_t *row, const uint8_t *w,
                             int32_t x, uint32_t before, pe_sums s, size_t at)
{
    const pe_lined l = pe_lined_up(&g->w, x);
    const size_t multiplier = g->multiplier;
    /* All taps in one go, or those of a channel of dx tap by tap. */
    const int32_t calls = multiplier == 1 ? l.count > 0 : l.count;
    const ptrdiff_t a_step = l.window_step * (ptrdiff_t)g->outputs, b_step = l.tap_step * (ptrdiff_t)g->outputs;
    pe_dwacc_geometry k = {
        .n = g->inputs,
        .k = multiplier == 1 ? (size_t)l.count : multiplier,
        .a_n = multiplier,
        .b_n = multiplier,
        .c_n = 1,
        .a_k = multiplier == 1 ? a_step : 1,
        .b_k = multiplier == 1 ? b_step : 1,
    };
    for (int32_t first = l.window - r->first; x < g->w.in; x += g->w.stride, first++)
        for (int32_t i = 0; i < calls; i++) {
            const ptrdiff_t from = first * (ptrdiff_t)g->outputs + i * a_step;
            const ptrdiff_t tap = l.tap * (ptrdiff_t)g->outputs + i * b_step;
            k.in_run = (uint32_t)(((uint64_t)before * (uint32_t)l.count + (uint32_t)i) * multiplier % PE_FAST16_RUN);
            pe_dwacc(t, &k, row + from * (ptrdiff_t)pe_a_bytes(t), w + tap * (ptrdiff_t)pe_b_bytes(t), s,
                     at + (size_t)x * g->inputs);
        }
}

static void run_dgrad(const pe_call *c, bool half)
{
    const pe_conv2d_params *p = c->params;
    const pe_gradient t = pe_gradient_of(c, half, p->rounding);
    const conv g = resolve(c, false);
    if (half && !g.multiplier && c->kernels->conv2d_dgrad_f16 && c->kernels->conv2d_dgrad_f16(c))
        return;
    const size_t channels = g.inputs * g.groups, row_elements = (size_t)g.w.in * channels;
    if (is_linear(&g)) {
        pe_gradient_gemm(&t, g.images * (size_t)g.h.in * (size_t)g.w.in, g.inputs, g.outputs, g.outputs, 1, c->data[0],
                         c->data[1], c->data[2], c->scratch);
        return;
    }
    rows r = rows_of(&g, false, pe_a_bytes(&t));
    r.data = c->data[0];
    r.scratch = (uint8_t *)c->scratch + pe_sums_bytes(&t, row_elements);
    pe_fill_bytes(r.scratch, 0, rows_bytes(&r));
    pe_sums s = pe_sums_in_y(&t) ? (pe_sums){c->data[2], NULL} : pe_sums_at(&t, c->scratch, row_elements);
    const uint8_t *w = c->data[1];
    const size_t w_group = g.outputs * (size_t)g.h.taps * (size_t)g.w.taps * g.inputs * pe_b_bytes(&t);
    const size_t w_row = (size_t)g.w.taps * (g.multiplier ? g.outputs : g.inputs) * pe_b_bytes(&t);
    for (size_t line = 0, to = 0; line < g.images * (size_t)g.h.in; line++, to += row_elements) {
        const int32_t y = (int32_t)(line % (size_t)g.h.in);
        const pe_lined l = pe_lined_up(&g.h, y);
        pe_sums_clear(s, row_elements);
        for (size_t group = 0; group < g.groups; group++)
            for (int32_t i = 0; i < l.count; i++) {
                const uint8_t *row = row_at(&r, line / (size_t)g.h.in, l.window + i * l.window_step, group, 0);
                const uint8_t *taps = w + group * w_group + (size_t)(l.tap + i * l.tap_step) * w_row;
                for (int32_t x = 0; x < g.w.stride && x < g.w.in; x++)
                    (g.multiplier ? depthwise_pixels : conv2d_pixels)(&t, &g, &r, row, taps, x, (uint32_t)i, s,
                                                                      group * g.inputs);
            }
        pe_sums_store(&t, s, 0, row_elements, c->data[2], to);
        s.sum += pe_sums_in_y(&t) ? row_elements : 0;
    }
}

/* Adds `lines` rows of dy and of x to the sums of a row of taps of `outputs` channels. c_m: from channel to channel. */
static void conv2d_taps(const pe_gradient *t, const conv *g, const rows *r, const uint8_t *dy, const uint8_t *row,
                        size_t lines, size_t outputs, size_t c_m, uint64_t before, pe_sums s, size_t at)
{
    const size_t step = rows_step(r, pe_b_bytes(t)), bytes = pe_b_bytes(t);
    const size_t line = r->copies ? rows_bytes(r) / bytes : (size_t)g->h.stride * (size_t)r->in_w * r->pixel / bytes;
    const bool one_run = g->w.dilation == 1 && step == g->inputs; /* the taps of a row lie in a run */
    pe_acc_geometry k = {
        .m = outputs,
        .n = g->inputs * (one_run ? (size_t)g->w.taps : 1),
        .k = (size_t)g->w.out,
        .a_m = 1,
        .a_k = g->outputs * g->groups,
        .b_k = (size_t)g->w.stride * step,
        .c_m = c_m,
        .fresh = before == 0,
        .in_run = (uint32_t)(before % PE_FAST16_RUN),
        .rows = lines,
        .a_row = g->w.out * (ptrdiff_t)(g->outputs * g->groups),
        .b_row = (ptrdiff_t)line,
    };
    for (int32_t j = 0; j < (one_run ? 1 : g->w.taps); j++)
        pe_gemm_acc(t, &k, dy, row + (size_t)j * (size_t)g->w.dilation * step * bytes, s, at + (size_t)j * g->inputs);
}

static void depthwise_taps(const pe_gradient *t, const conv *g, const uint8_t *dy, const uint8_t *row, uint64_t before,
                           pe_sums s, size_t at)
{
    pe_dwacc_geometry k = {
        .n = g->inputs,
        .k = (size_t)g->w.out,
        .a_n = g->multiplier,
        .b_n = 1,
        .c_n = g->multiplier,
        .a_k = (ptrdiff_t)g->outputs,
        .b_k = g->w.stride * (ptrdiff_t)g->inputs,
        .in_run = (uint32_t)(before % PE_FAST16_RUN),
    };
    for (int32_t j = 0; j < g->w.taps; j++)
        for (size_t i = 0; i < g->multiplier; i++)
            pe_dwacc(t, &k, dy + i * pe_a_bytes(t), row + (size_t)j * (size_t)g->w.dilation * g->inputs * pe_b_bytes(t),
                     s, at + (size_t)j * g->outputs + i);
}

/* Output channels whose sums are made at once: whole tiles of four. */
static size_t block_of(const pe_gradient *t, const conv *g)
{
    const size_t row = (size_t)g->w.taps * g->inputs * sizeof(float), fit = pe_sums_at_once(t) / row;
    if (pe_sums_in_y(t) || g->multiplier || g->outputs <= fit)
        return g->outputs;
    return fit > 4 ? fit & ~(size_t)3 : g->outputs < 4 ? g->outputs : 4;
}

/* Sums in scratch: a row of taps of the channels of a block. */
static uint64_t block_elements(const pe_gradient *t, const conv *g)
{
    return (uint64_t)block_of(t, g) * (uint64_t)g->w.taps * (g->multiplier ? 1 : g->inputs);
}

static void run_wgrad(const pe_call *c, bool half)
{
    const pe_conv2d_params *p = c->params;
    const pe_gradient t = pe_gradient_of(c, half, p->rounding);
    const conv g = resolve(c, true);
    const size_t pixels = g.images * (size_t)g.h.out * (size_t)g.w.out,
                 dy_pixel = g.outputs * g.groups * pe_a_bytes(&t);
    if (is_linear(&g)) {
        pe_gradient_gemm(&t, g.outputs, g.inputs, pixels, 1, g.outputs, c->data[0], c->data[1], c->data[2], c->scratch);
        return;
    }
    rows r = rows_of(&g, true, pe_b_bytes(&t));
    const bool in_y = pe_sums_in_y(&t);
    const size_t block = block_of(&t, &g), elements = (size_t)block_elements(&t, &g);
    r.data = c->data[1];
    r.scratch = (uint8_t *)c->scratch + pe_sums_bytes(&t, elements);
    const size_t at_once = lines_of(&t, &g, &r);
    pe_fill_bytes(r.scratch, 0, at_once * rows_bytes(&r));
    const pe_sums s = in_y ? (pe_sums){c->data[2], NULL} : pe_sums_at(&t, c->scratch, elements);
    /* Elements of a row of taps, one channel or depthwise all; from channel to channel of dw. */
    const size_t tap_row = (size_t)g.w.taps * (g.multiplier ? g.outputs : g.inputs);
    const size_t channel = (size_t)g.h.taps * tap_row, lines = g.images * (size_t)g.h.out;
    for (size_t group = 0; group < g.groups; group++)
        for (size_t first = 0; first < g.outputs; first += block)
            for (int32_t i = 0; i < g.h.taps; i++) {
                const size_t outputs = g.outputs - first < block ? g.outputs - first : block;
                const size_t to =
                    g.multiplier ? (size_t)i * tap_row : (group * g.outputs + first) * channel + (size_t)i * tap_row;
                const uint8_t *dy = (const uint8_t *)c->data[0] + (group * g.outputs + first) * pe_a_bytes(&t);
                for (size_t line = 0, n; line < lines; line += n, dy += n * (size_t)g.w.out * dy_pixel) {
                    const size_t first_line = line % (size_t)g.h.out, left = (size_t)g.h.out - first_line;
                    const int32_t from = (int32_t)first_line * g.h.stride - g.h.pad + i * g.h.dilation;
                    const uint8_t *row = row_at(&r, line / (size_t)g.h.out, from, group, 0);
                    n = left < at_once ? left : at_once;
                    for (size_t j = 1; r.copies && j < n; j++)
                        row_at(&r, line / (size_t)g.h.out, from + (int32_t)j * g.h.stride, group, j);
                    const uint64_t before = (uint64_t)line * (uint64_t)g.w.out;
                    if (g.multiplier && line == 0)
                        pe_sums_clear((pe_sums){s.sum + (in_y ? to : 0), s.run}, tap_row);
                    if (g.multiplier)
                        depthwise_taps(&t, &g, dy, row, before, s, in_y ? to : 0);
                    else
                        conv2d_taps(&t, &g, &r, dy, row, n, outputs, in_y ? channel : tap_row, before, s,
                                    in_y ? to : 0);
                }
                for (size_t j = 0; j < (g.multiplier ? 1 : outputs); j++)
                    pe_sums_store(&t, s, j * tap_row, tap_row, c->data[2], to + j * channel);
            }
}

static const char *shape_fault(const pe_call *c, bool wgrad, bool depthwise)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *dy = c->tensor[0], *x = c->tensor[wgrad ? 1 : 2], *w = c->tensor[wgrad ? 2 : 1];
    if (dy->rank != 4 || x->rank != 4 || w->rank != (depthwise ? 3 : 4) || dy->dims[0] != x->dims[0] ||
        dy->dims[3] != w->dims[depthwise ? 2 : 0])
        return "gradient: dy [N, Ho, Wo, C_out], x [N, H, W, C] and w of C_out channels do not fit together";
    if (depthwise ? p->groups != 0 || w->dims[2] % x->dims[3] != 0
                  : p->groups < 1 || x->dims[3] % p->groups != 0 || w->dims[0] % p->groups != 0 ||
                        w->dims[3] != x->dims[3] / p->groups)
        return "gradient: the channels of dy and x and the groups do not fit together";
    const pe_axis h = pe_axis_h(p, x, dy, w->dims[depthwise ? 0 : 1]),
                  v = pe_axis_w(p, x, dy, w->dims[depthwise ? 1 : 2]);
    if (!pe_axis_ok(&h) || !pe_axis_ok(&v))
        return "gradient: stride, dilation or padding is out of range, or dy is larger than they allow";
    return NULL;
}

static pe_status check(const pe_call *c, bool half, bool wgrad, bool depthwise, uint32_t *scratch_bytes,
                       const char **text)
{
    const pe_conv2d_params *p = c->params;
    *text = pe_gradient_fault(c, half, p->rounding);
    if (!*text)
        *text = shape_fault(c, wgrad, depthwise);
    if (*text)
        return PE_ERR_SHAPE;
    const pe_gradient t = pe_gradient_of(c, half, p->rounding);
    const conv g = resolve(c, wgrad);
    const rows r = rows_of(&g, wgrad, wgrad ? pe_b_bytes(&t) : pe_a_bytes(&t));
    const uint64_t sums = wgrad ? block_elements(&t, &g) : (uint64_t)g.w.in * g.inputs * g.groups;
    uint64_t scratch = pe_sums_bytes(&t, sums) + (wgrad ? lines_of(&t, &g, &r) : 1) * rows_bytes(&r);
    if (is_linear(&g))
        scratch = wgrad ? pe_gradient_gemm_scratch(&t, g.outputs, g.inputs)
                        : pe_gradient_gemm_scratch(&t, g.images * (size_t)g.h.in * (size_t)g.w.in, g.inputs);
    *text = "gradient: a row with its padding is too large";
    if (scratch > PE_MAX_EXTENT)
        return PE_ERR_SHAPE;
    *scratch_bytes = (uint32_t)scratch;
    return PE_OK;
}

#define CONV_DEF(op, OP, primitive, PRIMITIVE, type, TYPE, half)                                                     \
    static void run_##op##_##primitive##_##type(const pe_call *c)                                                    \
    {                                                                                                                \
        run_##primitive(c, half);                                                                                    \
    }                                                                                                                \
    static pe_status check_##op##_##primitive##_##type(const pe_call *c, uint32_t *scratch_bytes, const char **text) \
    {                                                                                                                \
        return check(c, half, #primitive[0] == 'w', #op[0] == 'd', scratch_bytes, text);                             \
    }                                                                                                                \
    const pe_op_def pe_op_def_##op##_##primitive##_##type = {                                                        \
        .kind = PE_OP_##OP##_##PRIMITIVE##_##TYPE,                                                                   \
        .params_bytes = sizeof(pe_conv2d_params),                                                                    \
        .min_inputs = 2,                                                                                             \
        .max_inputs = 2,                                                                                             \
        .outputs = 1,                                                                                                \
        .name = #op "_" #primitive "_" #type,                                                                        \
        .check = check_##op##_##primitive##_##type,                                                                  \
        .run = run_##op##_##primitive##_##type,                                                                      \
    };

CONV_DEF(conv2d, CONV2D, dgrad, DGRAD, f32, F32, false)
CONV_DEF(conv2d, CONV2D, dgrad, DGRAD, f16, F16, true)
CONV_DEF(conv2d, CONV2D, wgrad, WGRAD, f32, F32, false)
CONV_DEF(conv2d, CONV2D, wgrad, WGRAD, f16, F16, true)
CONV_DEF(depthwise, DEPTHWISE, dgrad, DGRAD, f32, F32, false)
CONV_DEF(depthwise, DEPTHWISE, dgrad, DGRAD, f16, F16, true)
CONV_DEF(depthwise, DEPTHWISE, wgrad, WGRAD, f32, F32, false)
CONV_DEF(depthwise, DEPTHWISE, wgrad, WGRAD, f16, F16, true)
