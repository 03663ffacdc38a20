#include "ops/check.h"
#include "ops/requantize.h"
#include "ops/round.h"
#include "ops/taps.h"

/* conv2d, depthwise and linear of float32 by int8 weights, TFLite's "dynamic range" (docs/arithmetic.md, "Hybrid"): an
 * image or a row of x becomes int8 in scratch, the sums are int32, their factors are multiplied back in float32.
 * LiteRT's reference kernels round in this order; padding adds nothing. */

/* What x was divided by, and the code of 0. */
typedef struct scaled {
    float scale;
    int32_t zero_point;
} scaled;

static int32_t nudged_zero_point(double from_min, double from_max, bool nearer_min)
{
    const double z = nearer_min ? from_min : from_max;
    if (!(z > -128)) /* NaN, of an infinite x, too */
        return -128;
    if (z >= 127)
        return 127;
    const int32_t whole = (int32_t)z;
    const double rest = z - (double)whole; /* exact */
    return whole + (rest >= 0.5) - (rest <= -0.5);
}

/* x[n] to int8, by its own extremes: codes -127 .. 127 around 0, or -128 .. 127 over the range that holds x and 0. */
static scaled quantize(const float *x, size_t n, bool asymmetric, int8_t *to)
{
    float min = 0, max = 0;
    for (size_t i = 0; i < n; i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    scaled q = {1, 0};
    float factor = 0;
    int32_t lowest = -127;
    if (asymmetric && min < max) {
        const double scale = (double)(max - min) / 255, below = (double)min / scale, above = (double)max / scale;
        q.zero_point = nudged_zero_point(-128 - below, 127 - above, 128 - below < 127 + above);
        q.scale = (float)scale;
        factor = 1 / q.scale;
        lowest = -128;
    } else if (!asymmetric && min < max) {
        const float range = max > -min ? max : -min;
        q.scale = range / 127;
        factor = 127 / range;
    }
    for (size_t i = 0; i < n; i++)
        to[i] = (int8_t)pe_clamp_s32(pe_round_half_away((float)q.zero_point + x[i] * factor), lowest, 127);
    return q;
}

/* The scales of the weights, and what follows the sums. */
typedef struct output {
    const float *scale, *bias; /* [C_out]; bias may be NULL */
    float min, max;
    bool apart; /* the scales of w and x are multiplied one after the other, not with each other first */
} output;

static output output_of(const pe_call *c)
{
    const pe_hybrid_params *p = c->params;
    return (output){c->data[2], c->inputs > 3 && c->tensor[3] ? c->data[3] : NULL, p->f_min, p->f_max, false};
}

static float finish(const output *out, size_t channel, uint32_t sum, float x_scale)
{
    const float value = (float)(int32_t)sum, w_scale = out->scale[channel];
    const float product = out->apart ? value * w_scale * x_scale : value * (w_scale * x_scale);
    return pe_clip_f32(product + (out->bias ? out->bias[channel] : 0), out->min, out->max);
}

static pe_axis axis_h(const pe_call *c, int32_t taps)
{
    const pe_hybrid_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *y = c->tensor[c->inputs];
    return (pe_axis){x->dims[1], y->dims[1], taps, p->stride_h, p->dilation_h, p->pad_top};
}

static pe_axis axis_w(const pe_call *c, int32_t taps)
{
    const pe_hybrid_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *y = c->tensor[c->inputs];
    return (pe_axis){x->dims[2], y->dims[2], taps, p->stride_w, p->dilation_w, p->pad_left};
}

static void run_windows(const pe_call *c, bool depthwise)
{
    const pe_hybrid_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1];
    const size_t image = x->bytes / 4 / (size_t)x->dims[0];
    const int32_t kernel = depthwise ? 0 : 1; /* where the kernel's sides stand in the shape of w */
    pe_taps taps = pe_taps_of(x, w, axis_h(c, w->dims[kernel]), axis_w(c, w->dims[kernel + 1]), p->groups);
    const float *from = c->data[0];
    float *y = c->data[c->inputs];
    output out = output_of(c);
    out.apart = p->asymmetric && !depthwise;
    for (int32_t n = 0; n < x->dims[0]; n++, from += image) {
        const scaled q = quantize(from, image, p->asymmetric, c->scratch);
        taps.x_zero_point = q.zero_point;
        for (int32_t oy = 0; oy < taps.h.out; oy++)
            for (int32_t ox = 0; ox < taps.w.out; ox++)
                for (size_t channel = 0; channel < taps.channels; channel++) {
                    const uint32_t sum = pe_taps_sum(&taps, c->scratch, c->data[1], oy, ox, channel);
                    *y++ = finish(&out, channel, sum, q.scale);
                }
    }
}

static void run_conv2d(const pe_call *c)
{
    run_windows(c, false);
}

static void run_depthwise(const pe_call *c)
{
    run_windows(c, true);
}

static void run_linear(const pe_call *c)
{
    const pe_hybrid_params *p = c->params;
    const size_t m = (size_t)c->tensor[0]->dims[0], n = (size_t)c->tensor[1]->dims[0],
                 k = (size_t)c->tensor[1]->dims[1];
    const float *x = c->data[0];
    float *y = c->data[c->inputs];
    const output out = output_of(c);
    for (size_t i = 0; i < m; i++, x += k) {
        const scaled q = quantize(x, k, p->asymmetric, c->scratch);
        for (size_t j = 0; j < n; j++)
            *y++ =
                finish(&out, j, pe_dot_s8(c->scratch, q.zero_point, (const int8_t *)c->data[1] + j * k, 0, k), q.scale);
    }
}

static bool is_per_channel(const pe_tensor *t, int32_t channels)
{
    return t->dtype == PE_F32 && t->rank == 1 && t->dims[0] == channels;
}

/* What all three ask for; weights have w_rank axes. */
static const char *fault(const pe_call *c, uint8_t rank, uint8_t w_rank, int32_t channels)
{
    const pe_hybrid_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *bias = c->inputs > 3 ? c->tensor[3] : NULL,
                    *y = c->tensor[c->inputs];
    if (x->dtype != PE_F32 || w->dtype != PE_S8 || y->dtype != PE_F32)
        return "hybrid: x and y are not float32 or w is not int8";
    if (x->rank != rank || w->rank != w_rank || y->rank != rank)
        return "hybrid: x, w or y has a wrong number of axes";
    if (y->dims[0] != x->dims[0] || y->dims[rank - 1] != channels)
        return "hybrid: y is not [N of x, .., C_out of w]";
    if (!is_per_channel(c->tensor[2], channels) || (bias && !is_per_channel(bias, channels)))
        return "hybrid: scales or bias are not float32 [C_out]";
    if (p->asymmetric < 0 || p->asymmetric > 1 || !pe_is_range_f32(p->f_min, p->f_max))
        return "hybrid: asymmetric is not 0 or 1, or f_min and f_max are no range";
    return NULL;
}

static pe_status check_windows(const pe_call *c, int32_t kernel_h, int32_t kernel_w, const char **text)
{
    const pe_axis h = axis_h(c, kernel_h), v = axis_w(c, kernel_w);
    if (!*text && (!pe_axis_ok(&h) || !pe_axis_ok(&v)))
        *text = "hybrid: stride, dilation or padding is out of range, or y is larger than they allow";
    return *text ? PE_ERR_SHAPE : PE_OK;
}

static pe_status check_conv2d(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_hybrid_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1];
    *text = fault(c, 4, 4, w->dims[0]);
    if (!*text &&
        (p->groups < 1 || x->dims[3] % p->groups || w->dims[0] % p->groups || w->dims[3] != x->dims[3] / p->groups))
        *text = "conv2d_hybrid: the channels of x and w and the groups do not fit together";
    *scratch_bytes = x->bytes / 4 / (uint32_t)x->dims[0];
    return check_windows(c, w->dims[1], w->dims[2], text);
}

static pe_status check_depthwise(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_hybrid_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1];
    *text = fault(c, 4, 3, w->dims[2]);
    if (!*text && (p->groups != 0 || w->dims[2] % x->dims[3]))
        *text = "depthwise_hybrid: groups is not 0, or C_out no multiple of C";
    *scratch_bytes = x->bytes / 4 / (uint32_t)x->dims[0];
    return check_windows(c, w->dims[0], w->dims[1], text);
}

static pe_status check_linear(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1];
    *text = fault(c, 2, 2, w->dims[0]);
    if (!*text && x->dims[1] != w->dims[1])
        *text = "linear_hybrid: x [M, K] and w [N, K] do not fit together";
    *scratch_bytes = (uint32_t)w->dims[1];
    return *text ? PE_ERR_SHAPE : PE_OK;
}

const pe_op_def pe_op_def_conv2d_hybrid = {
    .kind = PE_OP_CONV2D_HYBRID,
    .params_bytes = sizeof(pe_hybrid_params),
    .min_inputs = 3,
    .max_inputs = 4,
    .outputs = 1,
    .optional = 1 << 3,
    .name = "conv2d_hybrid",
    .check = check_conv2d,
    .run = run_conv2d,
};

const pe_op_def pe_op_def_depthwise_hybrid = {
    .kind = PE_OP_DEPTHWISE_HYBRID,
    .params_bytes = sizeof(pe_hybrid_params),
    .min_inputs = 3,
    .max_inputs = 4,
    .outputs = 1,
    .optional = 1 << 3,
    .name = "depthwise_hybrid",
    .check = check_depthwise,
    .run = run_depthwise,
};

const pe_op_def pe_op_def_linear_hybrid = {
    .kind = PE_OP_LINEAR_HYBRID,
    .params_bytes = sizeof(pe_hybrid_params),
    .min_inputs = 3,
    .max_inputs = 4,
    .outputs = 1,
    .optional = 1 << 3,
    .name = "linear_hybrid",
    .check = check_linear,
    .run = run_linear,
};
