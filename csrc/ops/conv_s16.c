#include "ops.h"
#include "s16.h"
#include "taps.h"

/* conv2d and depthwise of int16 by int8 weights. linear is a conv2d over [M, 1, 1, K]. Sums have 64 bits; with
 * PE_ROUND_TFLITE, for models with int32 biases, their lower 32 bits are rounded as those of int8. */

static int64_t sum_of_taps(const pe_taps *t, const int16_t *x, const int8_t *w, int32_t oy, int32_t ox, size_t channel)
{
    int64_t sum = 0;
    int32_t iy = oy * t->h.stride - t->h.pad;
    x += channel / t->outputs * t->depth;
    w += channel * t->w_channel;
    for (int32_t i = 0; i < t->h.taps; i++, iy += t->h.dilation) {
        int32_t ix = ox * t->w.stride - t->w.pad;
        for (int32_t j = 0; j < t->w.taps; j++, ix += t->w.dilation, w += t->w_tap)
            if (iy >= 0 && iy < t->h.in && ix >= 0 && ix < t->w.in)
                sum += pe_dot_s16(x + ((size_t)iy * (size_t)t->w.in + (size_t)ix) * t->in_channels, w, t->depth);
    }
    return sum;
}

static void run(const pe_call *c, int32_t kernel)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[3];
    const pe_taps taps =
        pe_taps_of(x, w, pe_axis_h(p, x, y, w->dims[kernel]), pe_axis_w(p, x, y, w->dims[kernel + 1]), p->groups);
    const size_t image = pe_tensor_elements(x) / (size_t)x->dims[0];
    const int16_t *from = c->data[0];
    const pe_channel_s16 *q = c->data[2];
    int16_t *to = c->data[3];
    for (int32_t n = 0; n < x->dims[0]; n++, from += image)
        for (int32_t oy = 0; oy < taps.h.out; oy++)
            for (int32_t ox = 0; ox < taps.w.out; ox++)
                for (size_t i = 0; i < taps.channels; i++) {
                    uint64_t sum =
                        (uint64_t)pe_bias_s16(q + i) + (uint64_t)sum_of_taps(&taps, from, c->data[1], oy, ox, i);
                    int32_t v = p->rounding == PE_ROUND_S64 ? pe_requantize_s64((int64_t)sum, q[i].a, q[i].b)
                                                            : pe_requantize((int32_t)(uint32_t)sum, q[i].a, q[i].b);
                    *to++ = (int16_t)pe_clamp_s32(v, p->y_min, p->y_max);
                }
}

static void run_conv2d(const pe_call *c)
{
    run(c, 1);
}

static void run_depthwise(const pe_call *c)
{
    run(c, 0);
}

/* What both ask for; kernel: the axis of w with the kernel's height. */
static const char *fault(const pe_call *c, int32_t kernel, int32_t channels)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *q = c->tensor[2], *y = c->tensor[3];
    if (x->dtype != PE_S16 || w->dtype != PE_S8 || y->dtype != PE_S16 || x->rank != 4 || w->rank != kernel + 3 ||
        y->rank != 4)
        return "conv_s16: x and y are not int16 [N, H, W, C], or w is not int8 of its rank";
    if (y->dims[0] != x->dims[0] || y->dims[3] != channels)
        return "conv_s16: y is not [N of x, .., C_out of w]";
    if (q->dtype != PE_S32 || q->rank != 2 || q->dims[0] != channels || q->dims[1] != 4)
        return "conv_s16: q is not int32 [C_out, 4]";
    if (p->x_zero_point != 0 || p->y_zero_point != 0 || !pe_is_range_s16(p->y_min, p->y_max) ||
        (p->rounding != PE_ROUND_TFLITE && p->rounding != PE_ROUND_S64))
        return "conv_s16: zero points, clamp or rounding";
    const pe_axis h = pe_axis_h(p, x, y, w->dims[kernel]), v = pe_axis_w(p, x, y, w->dims[kernel + 1]);
    if (!pe_axis_ok(&h) || !pe_axis_ok(&v))
        return "conv_s16: stride, dilation or padding is out of range, or y is larger than they allow";
    return NULL;
}

static pe_status check_conv2d(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1];
    (void)scratch_bytes;
    *text = fault(c, 1, w->dims[0]);
    if (!*text &&
        (p->groups < 1 || x->dims[3] % p->groups || w->dims[0] % p->groups || w->dims[3] != x->dims[3] / p->groups))
        *text = "conv2d_s16: the channels of x and w and the groups do not fit together";
    return *text ? PE_ERR_SHAPE : PE_OK;
}

static pe_status check_depthwise(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1];
    (void)scratch_bytes;
    *text = fault(c, 0, w->dims[2]);
    if (!*text && (p->groups != 0 || w->dims[2] % x->dims[3]))
        *text = "depthwise_s16: groups is not 0, or C_out no multiple of C";
    return *text ? PE_ERR_SHAPE : PE_OK;
}

const pe_op_def pe_op_def_conv2d_s16 = {
    .kind = PE_OP_CONV2D_S16,
    .params_bytes = sizeof(pe_conv2d_params),
    .min_inputs = 3,
    .max_inputs = 3,
    .outputs = 1,
    .name = "conv2d_s16",
    .check = check_conv2d,
    .run = run_conv2d,
};

const pe_op_def pe_op_def_depthwise_s16 = {
    .kind = PE_OP_DEPTHWISE_S16,
    .params_bytes = sizeof(pe_conv2d_params),
    .min_inputs = 3,
    .max_inputs = 3,
    .outputs = 1,
    .name = "depthwise_s16",
    .check = check_depthwise,
    .run = run_depthwise,
};
