#include "check.h"
#include "reduce.h"
#include "requantize.h"
#include "s16.h"

/* mean over the axes of a bit mask. */

static pe_status check_shapes(const pe_call *c, uint8_t dtype, const char **text)
{
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    *text = "mean: dtypes";
    if (x->dtype != dtype || y->dtype != dtype)
        return PE_ERR_SHAPE;
    *text = pe_reduce_fault(x, y, ((const pe_mean_params *)c->params)->axes);
    return *text ? PE_ERR_SHAPE : PE_OK;
}

static pe_status check_s8(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_mean_params *p = c->params;
    (void)scratch_bytes;
    pe_status status = check_shapes(c, PE_S8, text);
    if (status != PE_OK)
        return status;
    *text = "mean_s8: params";
    return pe_is_s8(p->x_zero_point) && pe_is_s8(p->y_zero_point) && pe_is_multiplier(p->multiplier, p->shift)
               ? PE_OK
               : PE_ERR_SHAPE;
}

static void run_s8(const pe_call *c)
{
    const pe_mean_params *p = c->params;
    const int8_t *x = c->data[0];
    int8_t *y = c->data[1];
    pe_loops kept, reduced;
    uint32_t count, at = 0, unused = 0;
    const pe_output_s8 out = {p->y_zero_point, -128, 127};
    pe_reduce_loops(c->tensor[0], p->axes, &kept, &reduced, &count);
    do {
        for (uint32_t i = 0; i < kept.n[0]; i++) {
            uint32_t sum = 0u - (uint32_t)p->x_zero_point * count, xt = at + i * kept.a[0];
            do {
                for (uint32_t k = 0; k < reduced.n[0]; k++)
                    sum += (uint32_t)x[xt + k * reduced.a[0]];
            } while (pe_loops_next(&reduced, &xt, &unused));
            *y++ = pe_requantize_s8(sum, p->multiplier, p->shift, &out);
        }
    } while (pe_loops_next(&kept, &at, &unused));
}

static pe_status check_s16(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_mean_params *p = c->params;
    (void)scratch_bytes;
    pe_status status = check_shapes(c, PE_S16, text);
    if (status != PE_OK)
        return status;
    *text = "mean_s16: params";
    return pe_is_s16(p->x_zero_point) && pe_is_s16(p->y_zero_point) && pe_is_multiplier(p->multiplier, p->shift)
               ? PE_OK
               : PE_ERR_SHAPE;
}

static void run_s16(const pe_call *c)
{
    const pe_mean_params *p = c->params;
    const int16_t *x = c->data[0];
    int16_t *y = c->data[1];
    pe_loops kept, reduced;
    uint32_t count, at = 0, unused = 0;
    pe_reduce_loops(c->tensor[0], p->axes, &kept, &reduced, &count);
    do {
        for (uint32_t i = 0; i < kept.n[0]; i++) {
            uint32_t sum = 0u - (uint32_t)p->x_zero_point * count, xt = at + i * kept.a[0];
            do {
                for (uint32_t k = 0; k < reduced.n[0]; k++)
                    sum += (uint32_t)x[xt + k * reduced.a[0]];
            } while (pe_loops_next(&reduced, &xt, &unused));
            int32_t v = pe_requantize((int32_t)sum, p->multiplier, p->shift);
            v = pe_clamp_s32(v, INT16_MIN - p->y_zero_point, INT16_MAX - p->y_zero_point);
            *y++ = (int16_t)(v + p->y_zero_point);
        }
    } while (pe_loops_next(&kept, &at, &unused));
}

static pe_status check_f32(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    return check_shapes(c, PE_F32, text);
}

static void run_f32(const pe_call *c)
{
    const float *x = c->data[0];
    float *y = c->data[1];
    pe_loops kept, reduced;
    uint32_t count, at = 0, unused = 0;
    pe_reduce_loops(c->tensor[0], ((const pe_mean_params *)c->params)->axes, &kept, &reduced, &count);
    do {
        for (uint32_t i = 0; i < kept.n[0]; i++) {
            uint32_t xt = at + i * kept.a[0];
            float sum = 0;
            do {
                for (uint32_t k = 0; k < reduced.n[0]; k++)
                    sum += x[xt + k * reduced.a[0]];
            } while (pe_loops_next(&reduced, &xt, &unused));
            *y++ = sum / (float)count;
        }
    } while (pe_loops_next(&kept, &at, &unused));
}

const pe_op_def pe_op_def_mean_s8 = {
    .kind = PE_OP_MEAN_S8,
    .params_bytes = sizeof(pe_mean_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "mean_s8",
    .check = check_s8,
    .run = run_s8,
};

const pe_op_def pe_op_def_mean_s16 = {
    .kind = PE_OP_MEAN_S16,
    .params_bytes = sizeof(pe_mean_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "mean_s16",
    .check = check_s16,
    .run = run_s16,
};

const pe_op_def pe_op_def_mean_f32 = {
    .kind = PE_OP_MEAN_F32,
    .params_bytes = sizeof(pe_mean_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "mean_f32",
    .check = check_f32,
    .run = run_f32,
};
