#include "check.h"
#include "ops.h"
#include "requantize.h"

/* clip: y = clamp(x), elementwise; y may be x's memory. */

static bool same_shape(const pe_call *c, uint8_t dtype)
{
    return c->tensor[0]->dtype == dtype && c->tensor[1]->dtype == dtype && c->tensor[0]->bytes == c->tensor[1]->bytes;
}

static pe_status check_s8(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_clip_params *p = c->params;
    (void)scratch_bytes;
    *text = "clip_s8: x and y differ, or y_min and y_max are no int8 range";
    return same_shape(c, PE_S8) && pe_is_range_s8(p->y_min, p->y_max) ? PE_OK : PE_ERR_SHAPE;
}

static void run_s8(const pe_call *c)
{
    const pe_clip_params *p = c->params;
    const int8_t *x = c->data[0];
    int8_t *y = c->data[1];
    for (uint32_t i = 0; i < c->tensor[1]->bytes; i++)
        y[i] = (int8_t)pe_clamp_s32(x[i], p->y_min, p->y_max);
}

static pe_status check_f32(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_clip_params *p = c->params;
    (void)scratch_bytes;
    *text = "clip_f32: x and y differ, or f_min and f_max are no range";
    return same_shape(c, PE_F32) && pe_is_range_f32(p->f_min, p->f_max) ? PE_OK : PE_ERR_SHAPE;
}

static void run_f32(const pe_call *c)
{
    const pe_clip_params *p = c->params;
    const float *x = c->data[0];
    float *y = c->data[1];
    for (uint32_t i = 0; i < pe_tensor_elements(c->tensor[1]); i++)
        y[i] = pe_clip_f32(x[i], p->f_min, p->f_max);
}

const pe_op_def pe_op_def_clip_s8 = {
    .kind = PE_OP_CLIP_S8,
    .params_bytes = sizeof(pe_clip_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "clip_s8",
    .check = check_s8,
    .run = run_s8,
};

const pe_op_def pe_op_def_clip_f32 = {
    .kind = PE_OP_CLIP_F32,
    .params_bytes = sizeof(pe_clip_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "clip_f32",
    .check = check_f32,
    .run = run_f32,
};
