#include "check.h"
#include "kernels/f16.h"
#include "kernels/kernels.h"
#include "ops.h"

/* bias_grad: db[c] = sum over rows of dy[.., c], ascending, from before[c] or +0 on. clip_grad: dx = dy where min < y < max,
 * else +0. clip_mask and mask_grad: the same in two halves, a bit an element between them, the lowest bit of a byte first. */

static bool is_float(const pe_tensor *t)
{
    return t->dtype == PE_F32 || t->dtype == PE_F16;
}

static void run_bias(const pe_call *c)
{
    const pe_elementwise *by_vectors = c->kernels->elementwise;
    if (by_vectors && by_vectors->bias_grad(c))
        return;
    const pe_tensor *dy = c->tensor[0], *db = c->tensor[c->inputs];
    const float *before = c->inputs > 1 && c->tensor[1] ? c->data[1] : NULL;
    const size_t channels = pe_tensor_elements(db), elements = pe_tensor_elements(dy);
    for (size_t i = 0; i < channels; i++) {
        float sum = before ? before[i] : 0;
        for (size_t at = i; at < elements; at += channels)
            sum += pe_float_at(c->data[0], (ptrdiff_t)at, dy->dtype == PE_F16);
        pe_float_put(c->data[c->inputs], i, db->dtype == PE_F16, sum);
    }
}

static pe_status check_bias(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_tensor *dy = c->tensor[0], *before = c->inputs > 1 ? c->tensor[1] : NULL, *db = c->tensor[c->inputs];
    (void)scratch_bytes;
    *text = "bias_grad: dy [.., C] and db [C] do not fit together, or are neither float32 nor float16";
    if (!is_float(dy) || !is_float(db) || dy->rank < 1 || db->rank != 1 || dy->dims[dy->rank - 1] != db->dims[0])
        return PE_ERR_SHAPE;
    *text = "bias_grad: what db goes on from is not float32[C]";
    return !before || (before->dtype == PE_F32 && before->rank == 1 && before->dims[0] == db->dims[0]) ? PE_OK
                                                                                                       : PE_ERR_SHAPE;
}

/* Whether element i of a result of a clip is inside its bounds: whether a gradient passes. */
static bool is_inside(const pe_clip_params *p, const void *data, size_t i, bool is_f16)
{
    const float y = pe_float_at(data, (ptrdiff_t)i, is_f16);
    return !(pe_float_le(y, p->f_min) | pe_float_le(p->f_max, y) | pe_is_nan(y)); /* signs are random: no branches */
}

/* dx[i] = dy[i] or +0 */
static void pass(void *dx, const void *dy, size_t i, bool is_f16, bool passes)
{
    const uint32_t kept = 0u - passes;
    if (is_f16)
        ((uint16_t *)dx)[i] = (uint16_t)(((const uint16_t *)dy)[i] & kept);
    else
        ((float *)dx)[i] = pe_float_from_bits(pe_float_bits(((const float *)dy)[i]) & kept);
}

static void run_clip(const pe_call *c)
{
    const pe_elementwise *by_vectors = c->kernels->elementwise;
    if (by_vectors && by_vectors->clip_grad(c))
        return;
    const size_t elements = pe_tensor_elements(c->tensor[0]);
    const bool is_f16 = c->tensor[0]->dtype == PE_F16, y_is_f16 = c->tensor[1]->dtype == PE_F16;
    for (size_t i = 0; i < elements; i++)
        pass(c->data[2], c->data[0], i, is_f16, is_inside(c->params, c->data[1], i, y_is_f16));
}

static void run_mask(const pe_call *c)
{
    const pe_elementwise *by_vectors = c->kernels->elementwise;
    if (by_vectors && by_vectors->clip_mask(c))
        return;
    const size_t elements = pe_tensor_elements(c->tensor[0]);
    const bool is_f16 = c->tensor[0]->dtype == PE_F16;
    unsigned bits = 0;
    for (size_t i = 0; i < elements; i++) {
        bits |= (unsigned)is_inside(c->params, c->data[0], i, is_f16) << i % 8;
        if (i % 8 == 7 || i + 1 == elements) {
            ((uint8_t *)c->data[1])[i / 8] = (uint8_t)bits;
            bits = 0;
        }
    }
}

static void run_masked(const pe_call *c)
{
    const pe_elementwise *by_vectors = c->kernels->elementwise;
    if (by_vectors && by_vectors->mask_grad(c))
        return;
    const size_t elements = pe_tensor_elements(c->tensor[0]);
    const bool is_f16 = c->tensor[0]->dtype == PE_F16;
    for (size_t i = 0; i < elements; i++)
        pass(c->data[2], c->data[0], i, is_f16, ((const uint8_t *)c->data[1])[i / 8] >> i % 8 & 1);
}

static bool are_bits(const pe_tensor *bits, const pe_tensor *of)
{
    return bits->dtype == PE_U8 && pe_tensor_elements(bits) == (pe_tensor_elements(of) + 7) / 8;
}

static pe_status check_clip(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_tensor *dy = c->tensor[0], *y = c->tensor[1], *dx = c->tensor[2];
    const pe_clip_params *p = c->params;
    (void)scratch_bytes;
    *text = "clip_grad: dy, y and dx differ in size, or dy and dx in dtype, or are neither float32 nor float16";
    if (!is_float(dy) || !is_float(y) || dx->dtype != dy->dtype || pe_tensor_elements(dx) != pe_tensor_elements(dy) ||
        pe_tensor_elements(y) != pe_tensor_elements(dy))
        return PE_ERR_SHAPE;
    *text = "clip_grad: f_min and f_max are no range";
    return pe_is_range_f32(p->f_min, p->f_max) ? PE_OK : PE_ERR_SHAPE;
}

static pe_status check_mask(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_clip_params *p = c->params;
    (void)scratch_bytes;
    *text = "clip_mask: y is neither float32 nor float16, or its result has not a bit for each element";
    if (!is_float(c->tensor[0]) || !are_bits(c->tensor[1], c->tensor[0]))
        return PE_ERR_SHAPE;
    *text = "clip_mask: f_min and f_max are no range";
    return pe_is_range_f32(p->f_min, p->f_max) ? PE_OK : PE_ERR_SHAPE;
}

static pe_status check_masked(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_tensor *dy = c->tensor[0], *dx = c->tensor[2];
    (void)scratch_bytes;
    *text = "mask_grad: dy and dx differ in size or dtype, are no floats, or there is not a bit for each element";
    return is_float(dy) && dx->dtype == dy->dtype && pe_tensor_elements(dx) == pe_tensor_elements(dy) &&
                   are_bits(c->tensor[1], dy)
               ? PE_OK
               : PE_ERR_SHAPE;
}

const pe_op_def pe_op_def_bias_grad = {
    .kind = PE_OP_BIAS_GRAD,
    .params_bytes = 0,
    .min_inputs = 1,
    .max_inputs = 2,
    .outputs = 1,
    .optional = 1 << 1,
    .name = "bias_grad",
    .check = check_bias,
    .run = run_bias,
};

const pe_op_def pe_op_def_clip_grad = {
    .kind = PE_OP_CLIP_GRAD,
    .params_bytes = sizeof(pe_clip_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "clip_grad",
    .check = check_clip,
    .run = run_clip,
};

const pe_op_def pe_op_def_clip_mask = {
    .kind = PE_OP_CLIP_MASK,
    .params_bytes = sizeof(pe_clip_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "clip_mask",
    .check = check_mask,
    .run = run_mask,
};

const pe_op_def pe_op_def_mask_grad = {
    .kind = PE_OP_MASK_GRAD,
    .params_bytes = 0,
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "mask_grad",
    .check = check_masked,
    .run = run_masked,
};
