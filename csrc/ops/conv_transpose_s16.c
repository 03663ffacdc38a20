#include "conv_nd.h"
#include "s16.h"

/* conv_transpose of int16 by int8 weights, 64-bit sums: for each pixel of y the taps that some pixel of x meets there. */

static int64_t sum_of_pixel(const pe_grid *g, const int32_t *o, const int16_t *image, uint32_t channels,
                            const int8_t *w, uint32_t depth)
{
    int32_t t[PE_GRID_AXES] = {0};
    int64_t sum = 0;
    do {
        uint32_t pixel;
        if (pe_grid_source(g, o, t, &pixel))
            sum += pe_dot_s16(image + (size_t)pixel * channels, w, depth);
        w += depth;
    } while (pe_grid_next(g->taps, g->axes, t));
    return sum;
}

static void run(const pe_call *c)
{
    const pe_conv_nd_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1];
    pe_grid g;
    (void)pe_conv_nd_fault(c, 0, 1, true, &g);
    const uint32_t channels = (uint32_t)x->dims[x->rank - 1], depth = (uint32_t)w->dims[w->rank - 1];
    const uint32_t outputs = (uint32_t)w->dims[0], per_group = outputs / (uint32_t)p->groups;
    const uint32_t w_step = w->bytes / outputs, image = pe_tensor_elements(x) / (uint32_t)x->dims[0];
    const int16_t *from = c->data[0];
    const pe_channel_s16 *q = c->data[2];
    int16_t *to = c->data[3];
    for (int32_t n = 0; n < x->dims[0]; n++, from += image) {
        int32_t o[PE_GRID_AXES] = {0};
        do {
            for (uint32_t i = 0; i < outputs; i++) {
                int64_t taps = sum_of_pixel(&g, o, from + i / per_group * depth, channels,
                                            (const int8_t *)c->data[1] + i * w_step, depth);
                int64_t sum = (int64_t)((uint64_t)pe_bias_s16(q + i) + (uint64_t)taps);
                *to++ = (int16_t)pe_clamp_s32(pe_requantize_s64(sum, q[i].a, q[i].b), p->y_min, p->y_max);
            }
        } while (pe_grid_next(g.out, g.axes, o));
    }
}

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_conv_nd_params *p = c->params;
    const pe_tensor *q = c->tensor[2];
    pe_grid g;
    (void)scratch_bytes;
    *text = "conv_transpose_s16: x and y are not int16, or w is not int8";
    if (c->tensor[0]->dtype != PE_S16 || c->tensor[1]->dtype != PE_S8 || c->tensor[3]->dtype != PE_S16)
        return PE_ERR_SHAPE;
    *text = pe_conv_nd_fault(c, 0, 1, true, &g);
    if (!*text && (q->dtype != PE_S32 || q->rank != 2 || q->dims[0] != c->tensor[1]->dims[0] || q->dims[1] != 4))
        *text = "conv_transpose_s16: q is not int32 [C_out, 4]";
    if (!*text && (p->x_zero_point != 0 || p->y_zero_point != 0 || !pe_is_range_s16(p->y_min, p->y_max)))
        *text = "conv_transpose_s16: zero points or clamp";
    return *text ? PE_ERR_SHAPE : PE_OK;
}

const pe_op_def pe_op_def_conv_transpose_s16 = {
    .kind = PE_OP_CONV_TRANSPOSE_S16,
    .params_bytes = sizeof(pe_conv_nd_params),
    .min_inputs = 3,
    .max_inputs = 3,
    .outputs = 1,
    .name = "conv_transpose_s16",
    .check = check,
    .run = run,
};
