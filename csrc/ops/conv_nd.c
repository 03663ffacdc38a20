#include "conv_nd.h"
#include "requantize.h"
#include "weights.h"

/* conv_nd and conv_transpose over 1 .. 4 axes: x[N, D.., C] w[C_out, k.., C/groups] -> y[N, O.., C_out].
 *
 * The plain walk, one output after the other. A convolution sums taps in rows, then channels, padding as +0; a
 * transposed one sums, in the same order, the taps that some pixel of x meets at this pixel of y. */

const char *pe_conv_nd_fault(const pe_call *c, uint32_t x_number, uint32_t w_number, bool transposed, pe_grid *g)
{
    const pe_conv_nd_params *p = c->params;
    const pe_tensor *x = c->tensor[x_number], *w = c->tensor[w_number], *y = c->tensor[c->inputs];
    const uint32_t last = (uint32_t)x->rank - 1;
    if (p->axes < 1 || p->axes > PE_GRID_AXES || x->rank != p->axes + 2 || w->rank != x->rank || y->rank != x->rank)
        return "conv_nd: x, w and y do not have two axes more than the windows";
    *g = (pe_grid){.axes = (uint32_t)p->axes};
    for (uint32_t a = 0; a < g->axes; a++) {
        g->in[a] = x->dims[a + 1];
        g->out[a] = y->dims[a + 1];
        g->taps[a] = w->dims[a + 1];
        g->stride[a] = p->stride[a];
        g->dilation[a] = p->dilation[a];
        g->pad[a] = p->pad[a];
    }
    if (y->dims[0] != x->dims[0] || y->dims[last] != w->dims[0])
        return "conv_nd: y is not [N of x, .., C_out of w]";
    if (p->groups < 1 || x->dims[last] % p->groups || w->dims[0] % p->groups ||
        w->dims[last] != x->dims[last] / p->groups)
        return "conv_nd: the channels of x and w and the groups do not fit together";
    if (transposed) { /* positions in y: out + pad, and taps * dilation */
        for (uint32_t a = 0; a < g->axes; a++)
            if (g->stride[a] < 1 || g->stride[a] > 32767 || g->dilation[a] < 1 || g->dilation[a] > 32767 ||
                g->pad[a] < 0 || g->pad[a] > 32767 || (int64_t)g->taps[a] * g->dilation[a] > INT32_MAX)
                return "conv_transpose: stride, dilation or padding is out of range";
        return NULL;
    }
    return pe_grid_ok(g) ? NULL : "conv_nd: stride, dilation or padding is out of range";
}

/* Adds x * w over the taps of one output pixel o and channel to sum; image: x at one n, first channel of the group. */
static float pixel_f32(const pe_grid *g, bool transposed, const int32_t *o, const float *image, uint32_t channels,
                       const float *w, uint32_t depth, float sum)
{
    int32_t t[PE_GRID_AXES] = {0};
    do {
        uint32_t pixel;
        if (transposed ? pe_grid_source(g, o, t, &pixel) : pe_grid_pixel(g, o, t, &pixel)) {
            const float *from = image + pixel * channels;
            for (uint32_t i = 0; i < depth; i++)
                sum = pe_fmaf(from[i], w[i], sum);
        } else if (!transposed) {
            for (uint32_t i = 0; i < depth; i++)
                sum = pe_fmaf(0.0f, w[i], sum);
        }
        w += depth;
    } while (pe_grid_next(g->taps, g->axes, t));
    return sum;
}

static uint32_t pixel_s8(const pe_grid *g, const int32_t *o, const int8_t *image, uint32_t channels, int32_t zero,
                         const int8_t *w, uint32_t depth, uint32_t sum)
{
    int32_t t[PE_GRID_AXES] = {0};
    do {
        uint32_t pixel;
        if (pe_grid_source(g, o, t, &pixel))
            for (uint32_t i = 0; i < depth; i++)
                sum += (uint32_t)((image[pixel * channels + i] - zero) * w[i]);
        w += depth;
    } while (pe_grid_next(g->taps, g->axes, t));
    return sum;
}

typedef struct shape {
    uint32_t images, channels, depth, per_group, in_pixels, w_step;
} shape;

static shape shape_of(const pe_call *c, const pe_grid *g)
{
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1];
    const uint32_t last = (uint32_t)x->rank - 1, groups = (uint32_t)((const pe_conv_nd_params *)c->params)->groups;
    const uint32_t depth = (uint32_t)w->dims[last];
    return (shape){
        (uint32_t)x->dims[0],          (uint32_t)x->dims[last],       depth,
        (uint32_t)w->dims[0] / groups, pe_grid_count(g->in, g->axes), pe_grid_count(g->taps, g->axes) * depth};
}

static void run_f32(const pe_call *c, bool transposed)
{
    const pe_conv_nd_params *p = c->params;
    pe_grid g;
    (void)pe_conv_nd_fault(c, 0, 1, transposed, &g);
    const shape s = shape_of(c, &g);
    const float *x = c->data[0], *bias = c->inputs > 2 && c->tensor[2] ? c->data[2] : NULL;
    float *y = c->data[c->inputs];
    const uint32_t outputs = s.per_group * (uint32_t)p->groups;
    for (uint32_t n = 0; n < s.images; n++, x += s.in_pixels * s.channels) {
        int32_t o[PE_GRID_AXES] = {0};
        do {
            for (uint32_t co = 0; co < outputs; co++) {
                const float *image = x + co / s.per_group * s.depth, *w = (const float *)c->data[1] + co * s.w_step;
                float sum = pixel_f32(&g, transposed, o, image, s.channels, w, s.depth, bias ? bias[co] : 0.0f);
                *y++ = pe_clip_f32(sum, p->f_min, p->f_max);
            }
        } while (pe_grid_next(g.out, g.axes, o));
    }
}

static void run_conv_f32(const pe_call *c)
{
    run_f32(c, false);
}

static void run_transpose_f32(const pe_call *c)
{
    run_f32(c, true);
}

static void run_transpose_s8(const pe_call *c)
{
    const pe_conv_nd_params *p = c->params;
    pe_grid g;
    (void)pe_conv_nd_fault(c, 0, 1, true, &g);
    const shape s = shape_of(c, &g);
    const int8_t *x = c->data[0];
    const pe_channel *q = c->data[2];
    const pe_output_s8 out = {p->y_zero_point, p->y_min, p->y_max};
    const uint32_t outputs = s.per_group * (uint32_t)p->groups;
    int8_t *y = c->data[3];
    for (uint32_t n = 0; n < s.images; n++, x += s.in_pixels * s.channels) {
        int32_t o[PE_GRID_AXES] = {0};
        do {
            for (uint32_t co = 0; co < outputs; co++) {
                const int8_t *image = x + co / s.per_group * s.depth, *w = (const int8_t *)c->data[1] + co * s.w_step;
                uint32_t sum = pixel_s8(&g, o, image, s.channels, p->x_zero_point, w, s.depth, (uint32_t)q[co].bias);
                *y++ = pe_requantize_s8(sum, q[co].a, q[co].b, &out);
            }
        } while (pe_grid_next(g.out, g.axes, o));
    }
}

static pe_status check_f32(const pe_call *c, bool transposed, const char **text)
{
    const pe_conv_nd_params *p = c->params;
    pe_grid g;
    *text = pe_weights_fault(c, PE_F32);
    if (!*text)
        *text = pe_conv_nd_fault(c, 0, 1, transposed, &g);
    if (!*text)
        *text = pe_f32_fault(c, c->tensor[1]->dims[0], p->f_min, p->f_max);
    return *text ? PE_ERR_SHAPE : PE_OK;
}

static pe_status check_conv_f32(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    return check_f32(c, false, text);
}

static pe_status check_transpose_f32(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    return check_f32(c, true, text);
}

static pe_status check_transpose_s8(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_conv_nd_params *p = c->params;
    pe_grid g;
    (void)scratch_bytes;
    *text = pe_weights_fault(c, PE_S8);
    if (!*text)
        *text = pe_conv_nd_fault(c, 0, 1, true, &g);
    if (!*text)
        *text = pe_s8_fault(c, c->tensor[1]->dims[0], p->x_zero_point, p->y_zero_point, p->y_min, p->y_max);
    return *text ? PE_ERR_SHAPE : PE_OK;
}

const pe_op_def pe_op_def_conv_nd_f32 = {
    .kind = PE_OP_CONV_ND_F32,
    .params_bytes = sizeof(pe_conv_nd_params),
    .min_inputs = 2,
    .max_inputs = 3,
    .outputs = 1,
    .optional = 1 << 2,
    .name = "conv_nd_f32",
    .check = check_conv_f32,
    .run = run_conv_f32,
};

const pe_op_def pe_op_def_conv_transpose_f32 = {
    .kind = PE_OP_CONV_TRANSPOSE_F32,
    .params_bytes = sizeof(pe_conv_nd_params),
    .min_inputs = 2,
    .max_inputs = 3,
    .outputs = 1,
    .optional = 1 << 2,
    .name = "conv_transpose_f32",
    .check = check_transpose_f32,
    .run = run_transpose_f32,
};

const pe_op_def pe_op_def_conv_transpose_s8 = {
    .kind = PE_OP_CONV_TRANSPOSE_S8,
    .params_bytes = sizeof(pe_conv_nd_params),
    .min_inputs = 3,
    .max_inputs = 3,
    .outputs = 1,
    .name = "conv_transpose_s8",
    .check = check_transpose_s8,
    .run = run_transpose_s8,
};
