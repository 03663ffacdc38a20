#include "ops/check.h"
#include "ops/ops.h"
#include "ops/requantize.h"
#include "ops/taps.h"

/* conv2d, depthwise and linear of int8 where the weights have a zero point too, as in models that were uint8; and the
 * step between uint8 and int8 codes. q holds the bias as it is: nothing is folded in. */

static pe_axis axis_h(const pe_call *c, int32_t taps)
{
    const pe_zero_point_params *p = c->params;
    return (pe_axis){c->tensor[0]->dims[1], c->tensor[3]->dims[1], taps, p->stride_h, p->dilation_h, p->pad_top};
}

static pe_axis axis_w(const pe_call *c, int32_t taps)
{
    const pe_zero_point_params *p = c->params;
    return (pe_axis){c->tensor[0]->dims[2], c->tensor[3]->dims[2], taps, p->stride_w, p->dilation_w, p->pad_left};
}

static int8_t finish(const pe_call *c, size_t channel, uint32_t sum)
{
    const pe_zero_point_params *p = c->params;
    const pe_output_s8 out = {p->y_zero_point, p->y_min, p->y_max};
    const pe_channel *q = (const pe_channel *)c->data[2] + channel;
    return pe_requantize_s8(sum + (uint32_t)q->bias, q->a, q->b, &out);
}

static void run_windows(const pe_call *c, int32_t kernel)
{
    const pe_zero_point_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1];
    const size_t image = x->bytes / (size_t)x->dims[0];
    pe_taps taps = pe_taps_of(x, w, axis_h(c, w->dims[kernel]), axis_w(c, w->dims[kernel + 1]), p->groups);
    taps.x_zero_point = p->x_zero_point;
    taps.w_zero_point = p->w_zero_point;
    const int8_t *from = c->data[0];
    int8_t *y = c->data[3];
    for (int32_t n = 0; n < x->dims[0]; n++, from += image)
        for (int32_t oy = 0; oy < taps.h.out; oy++)
            for (int32_t ox = 0; ox < taps.w.out; ox++)
                for (size_t channel = 0; channel < taps.channels; channel++)
                    *y++ = finish(c, channel, pe_taps_sum(&taps, from, c->data[1], oy, ox, channel));
}

static void run_conv2d(const pe_call *c)
{
    run_windows(c, 1);
}

static void run_depthwise(const pe_call *c)
{
    run_windows(c, 0);
}

static void run_linear(const pe_call *c)
{
    const pe_zero_point_params *p = c->params;
    const size_t m = (size_t)c->tensor[0]->dims[0], n = (size_t)c->tensor[1]->dims[0],
                 k = (size_t)c->tensor[1]->dims[1];
    const int8_t *x = c->data[0];
    int8_t *y = c->data[3];
    for (size_t i = 0; i < m; i++, x += k)
        for (size_t j = 0; j < n; j++)
            *y++ = finish(c, j, pe_dot_s8(x, p->x_zero_point, (const int8_t *)c->data[1] + j * k, p->w_zero_point, k));
}

/* What all three ask for; x and y have rank axes, weights w_rank. */
static const char *fault(const pe_call *c, uint8_t rank, uint8_t w_rank, int32_t channels)
{
    const pe_zero_point_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *q = c->tensor[2], *y = c->tensor[3];
    if (x->dtype != PE_S8 || w->dtype != PE_S8 || y->dtype != PE_S8)
        return "zero_point: x, w and y are not int8";
    if (x->rank != rank || w->rank != w_rank || y->rank != rank)
        return "zero_point: x, w or y has a wrong number of axes";
    if (y->dims[0] != x->dims[0] || y->dims[rank - 1] != channels)
        return "zero_point: y is not [N of x, .., C_out of w]";
    if (q->dtype != PE_S32 || q->rank != 2 || q->dims[0] != channels || q->dims[1] != 3)
        return "zero_point: q is not int32 [C_out, 3]";
    if (!pe_is_s8(p->x_zero_point) || !pe_is_s8(p->w_zero_point) || !pe_is_s8(p->y_zero_point) ||
        !pe_is_range_s8(p->y_min, p->y_max))
        return "zero_point: a zero point or the clamp is not int8";
    return NULL;
}

static pe_status check_windows(const pe_call *c, int32_t kernel, const char **text)
{
    const pe_tensor *w = c->tensor[1];
    const pe_axis h = axis_h(c, w->dims[kernel]), v = axis_w(c, w->dims[kernel + 1]);
    if (!*text && (!pe_axis_ok(&h) || !pe_axis_ok(&v)))
        *text = "zero_point: stride, dilation or padding is out of range, or y is larger than they allow";
    return *text ? PE_ERR_SHAPE : PE_OK;
}

static pe_status check_conv2d(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_zero_point_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1];
    *scratch_bytes = 0;
    *text = fault(c, 4, 4, w->dims[0]);
    if (!*text &&
        (p->groups < 1 || x->dims[3] % p->groups || w->dims[0] % p->groups || w->dims[3] != x->dims[3] / p->groups))
        *text = "conv2d_s8_zero_point: the channels of x and w and the groups do not fit together";
    return check_windows(c, 1, text);
}

static pe_status check_depthwise(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_zero_point_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1];
    *scratch_bytes = 0;
    *text = fault(c, 4, 3, w->dims[2]);
    if (!*text && (p->groups != 0 || w->dims[2] % x->dims[3]))
        *text = "depthwise_s8_zero_point: groups is not 0, or C_out no multiple of C";
    return check_windows(c, 0, text);
}

static pe_status check_linear(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    *scratch_bytes = 0;
    *text = fault(c, 2, 2, c->tensor[1]->dims[0]);
    if (!*text && c->tensor[0]->dims[1] != c->tensor[1]->dims[1])
        *text = "linear_s8_zero_point: x [M, K] and w [N, K] do not fit together";
    return *text ? PE_ERR_SHAPE : PE_OK;
}

static pe_status check_shift(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    *scratch_bytes = 0;
    *text = "shift_codes: not uint8 to int8 or int8 to uint8 of the same length";
    return x->bytes == y->bytes &&
                   ((x->dtype == PE_U8 && y->dtype == PE_S8) || (x->dtype == PE_S8 && y->dtype == PE_U8))
               ? PE_OK
               : PE_ERR_SHAPE;
}

/* -128 or +128, which is the top bit. */
static void run_shift(const pe_call *c)
{
    const uint8_t *x = c->data[0];
    uint8_t *y = c->data[1];
    for (uint32_t i = 0; i < c->tensor[0]->bytes; i++)
        y[i] = x[i] ^ 0x80;
}

const pe_op_def pe_op_def_shift_codes = {
    .kind = PE_OP_SHIFT_CODES,
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "shift_codes",
    .check = check_shift,
    .run = run_shift,
};

const pe_op_def pe_op_def_conv2d_s8_zero_point = {
    .kind = PE_OP_CONV2D_S8_ZERO_POINT,
    .params_bytes = sizeof(pe_zero_point_params),
    .min_inputs = 3,
    .max_inputs = 3,
    .outputs = 1,
    .name = "conv2d_s8_zero_point",
    .check = check_conv2d,
    .run = run_conv2d,
};

const pe_op_def pe_op_def_depthwise_s8_zero_point = {
    .kind = PE_OP_DEPTHWISE_S8_ZERO_POINT,
    .params_bytes = sizeof(pe_zero_point_params),
    .min_inputs = 3,
    .max_inputs = 3,
    .outputs = 1,
    .name = "depthwise_s8_zero_point",
    .check = check_depthwise,
    .run = run_depthwise,
};

const pe_op_def pe_op_def_linear_s8_zero_point = {
    .kind = PE_OP_LINEAR_S8_ZERO_POINT,
    .params_bytes = sizeof(pe_zero_point_params),
    .min_inputs = 3,
    .max_inputs = 3,
    .outputs = 1,
    .name = "linear_s8_zero_point",
    .check = check_linear,
    .run = run_linear,
};
