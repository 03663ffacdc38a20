#include "check.h"
#include "kernels/kernels.h"
#include "ops.h"

/* deform_conv_f32: x[N,H,W,C] w[C_out,kh,kw,C/groups] offset[N,Ho,Wo,G*kh*kw*2] [bias[C_out]] [mask[N,Ho,Wo,G*kh*kw]]
 * -> y[N,Ho,Wo,C_out]. A tap reads x between pixels, at its place plus an offset (rows, columns), bilinearly, times its
 * mask; what lies outside x is 0. G groups of channels have offsets of their own.
 *
 * The taps of a window go to scratch first, one value a channel, so that all outputs share them. */

enum input { X, W, OFFSET, BIAS, MASK };

static const float *optional(const pe_call *c, uint32_t input)
{
    return input < c->inputs && c->tensor[input] ? c->data[input] : NULL;
}

/* Rounds down; x is within +-2^30. */
static int32_t floor_of(float x)
{
    int32_t i = (int32_t)x;
    return (float)i > x ? i - 1 : i;
}

static float pixel(const pe_tensor *x, const float *image, int32_t row, int32_t column, uint32_t channel)
{
    if (row < 0 || row >= x->dims[1] || column < 0 || column >= x->dims[2])
        return 0;
    return image[((uint32_t)row * (uint32_t)x->dims[2] + (uint32_t)column) * (uint32_t)x->dims[3] + channel];
}

/* `channels` channels of x at (row, column), each times `factor`, to `to`. */
static void sample(const pe_tensor *x, const float *image, float row, float column, uint32_t first, uint32_t channels,
                   float factor, float *to)
{
    /* Also false for NaN. */
    if (!(row > -1.0f && column > -1.0f && row < (float)x->dims[1] && column < (float)x->dims[2])) {
        for (uint32_t i = 0; i < channels; i++)
            to[i] = 0;
        return;
    }
    const int32_t r = floor_of(row), k = floor_of(column);
    const float below = row - (float)r, right = column - (float)k, above = 1.0f - below, left = 1.0f - right;
    for (uint32_t i = 0; i < channels; i++) {
        float sum = above * left * pixel(x, image, r, k, first + i);
        sum = pe_fmaf(above * right, pixel(x, image, r, k + 1, first + i), sum);
        sum = pe_fmaf(below * left, pixel(x, image, r + 1, k, first + i), sum);
        sum = pe_fmaf(below * right, pixel(x, image, r + 1, k + 1, first + i), sum);
        to[i] = sum * factor;
    }
}

/* The window of output pixel (oy, ox) to scratch: [groups][kh][kw][C / groups]. at: its number among all of y. */
static void gather(const pe_call *c, const float *image, uint32_t at, int32_t oy, int32_t ox)
{
    const pe_deform_conv_params *p = c->params;
    const pe_tensor *x = c->tensor[X], *w = c->tensor[W];
    const uint32_t kw = (uint32_t)w->dims[2], taps = (uint32_t)w->dims[1] * kw, channels = (uint32_t)x->dims[3];
    const uint32_t depth = (uint32_t)w->dims[3], per_offset = channels / (uint32_t)p->offset_groups;
    const float *offset = (const float *)c->data[OFFSET] + at * (uint32_t)p->offset_groups * taps * 2;
    const float *mask = optional(c, MASK);
    mask = mask ? mask + at * (uint32_t)p->offset_groups * taps : NULL;
    for (uint32_t first = 0; first < channels;) {
        /* Channels that share an offset and a group. */
        const uint32_t g = first / per_offset, group = first / depth;
        const uint32_t end_g = (g + 1) * per_offset, end_group = (group + 1) * depth;
        const uint32_t end = end_g < end_group ? end_g : end_group;
        for (uint32_t t = 0; t < taps; t++) {
            const uint32_t o = g * taps + t;
            const float row =
                (float)(oy * p->stride_h - p->pad_top + (int32_t)(t / kw) * p->dilation_h) + offset[2 * o];
            const float column =
                (float)(ox * p->stride_w - p->pad_left + (int32_t)(t % kw) * p->dilation_w) + offset[2 * o + 1];
            float *to = (float *)c->scratch + (group * taps + t) * depth + first % depth;
            sample(x, image, row, column, first, end - first, mask ? mask[o] : 1.0f, to);
        }
        first = end;
    }
}

static void run(const pe_call *c)
{
    const pe_deform_conv_params *p = c->params;
    const pe_tensor *x = c->tensor[X], *w = c->tensor[W], *y = c->tensor[c->inputs];
    const uint32_t groups = (uint32_t)p->groups, outputs = (uint32_t)w->dims[0], n = outputs / groups;
    const uint32_t k = (uint32_t)(w->dims[1] * w->dims[2] * w->dims[3]);
    const uint32_t image_elements = (uint32_t)(x->dims[1] * x->dims[2] * x->dims[3]);
    const float *bias = optional(c, BIAS), infinity = __builtin_inff();
    uint32_t at = 0;
    for (int32_t image = 0; image < x->dims[0]; image++)
        for (int32_t oy = 0; oy < y->dims[1]; oy++)
            for (int32_t ox = 0; ox < y->dims[2]; ox++, at++) {
                gather(c, (const float *)c->data[X] + (uint32_t)image * image_elements, at, oy, ox);
                for (uint32_t g = 0; g < groups; g++)
                    c->kernels->gemm_f32(1, n, k, (const float *)c->scratch + g * k, k,
                                         (const float *)c->data[W] + g * n * k, bias ? bias + g * n : NULL, -infinity,
                                         infinity, (float *)c->data[c->inputs] + at * outputs + g * n, n);
            }
}

static bool is_step(int32_t step, int32_t low)
{
    return step >= low && step <= 32767;
}

static bool is_map(const pe_tensor *t, const pe_tensor *y, int64_t channels)
{
    return t->dtype == PE_F32 && t->rank == 4 && t->dims[0] == y->dims[0] && t->dims[1] == y->dims[1] &&
           t->dims[2] == y->dims[2] && t->dims[3] == channels;
}

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_deform_conv_params *p = c->params;
    const pe_tensor *x = c->tensor[X], *w = c->tensor[W], *y = c->tensor[c->inputs];
    const pe_tensor *bias = c->inputs > BIAS ? c->tensor[BIAS] : NULL,
                    *mask = c->inputs > MASK ? c->tensor[MASK] : NULL;
    *text = "deform_conv: x, w and y are not float32 with four axes that fit together";
    if (x->dtype != PE_F32 || w->dtype != PE_F32 || y->dtype != PE_F32 || x->rank != 4 || w->rank != 4 ||
        y->rank != 4 || y->dims[0] != x->dims[0] || y->dims[3] != w->dims[0])
        return PE_ERR_SHAPE;
    *text = "deform_conv: the channels of x and w and the groups do not fit together";
    if (p->groups < 1 || p->offset_groups < 1 || x->dims[3] % p->groups || w->dims[0] % p->groups ||
        x->dims[3] % p->offset_groups || w->dims[3] != x->dims[3] / p->groups)
        return PE_ERR_SHAPE;
    *text = "deform_conv: stride, dilation or padding is out of range, or an axis is too long";
    if (!is_step(p->stride_h, 1) || !is_step(p->stride_w, 1) || !is_step(p->dilation_h, 1) ||
        !is_step(p->dilation_w, 1) || !is_step(p->pad_top, 0) || !is_step(p->pad_left, 0))
        return PE_ERR_SHAPE;
    for (uint32_t i = 1; i < 3; i++) /* positions fit into int32 */
        if (x->dims[i] > 32767 || y->dims[i] > 32767 || w->dims[i] > 32767)
            return PE_ERR_SHAPE;
    *text = "deform_conv: offset, bias or mask are not float32 of the right shape";
    const int64_t taps = (int64_t)w->dims[1] * w->dims[2] * p->offset_groups;
    if (!is_map(c->tensor[OFFSET], y, 2 * taps) || (mask && !is_map(mask, y, taps)) ||
        (bias && (bias->dtype != PE_F32 || bias->rank != 1 || bias->dims[0] != w->dims[0])))
        return PE_ERR_SHAPE;
    *text = "deform_conv: a window is too large";
    const uint64_t window = (uint64_t)w->dims[1] * (uint64_t)w->dims[2] * (uint64_t)x->dims[3] * sizeof(float);
    if (window > PE_MAX_EXTENT)
        return PE_ERR_SHAPE;
    *scratch_bytes = (uint32_t)window;
    return PE_OK;
}

const pe_op_def pe_op_def_deform_conv_f32 = {
    .kind = PE_OP_DEFORM_CONV_F32,
    .params_bytes = sizeof(pe_deform_conv_params),
    .min_inputs = 3,
    .max_inputs = 5,
    .outputs = 1,
    .optional = 1 << BIAS | 1 << MASK,
    .name = "deform_conv_f32",
    .check = check,
    .run = run,
};
