#include "check.h"
#include "kernels/f16.h"
#include "kernels/kernels.h"
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

static pe_status check_codes(const pe_call *c, uint8_t dtype, bool zero_points_fit, const char **text)
{
    const pe_mean_params *p = c->params;
    pe_status status = check_shapes(c, dtype, text);
    if (status != PE_OK)
        return status;
    *text = "mean: zero points, multiplier, shift";
    return zero_points_fit && pe_is_multiplier(p->multiplier, p->shift) ? PE_OK : PE_ERR_SHAPE;
}

/* Of int8 or int16. */
static inline __attribute__((always_inline)) void run_codes(const pe_call *c, const bool is_s8)
{
    const pe_mean_params *p = c->params;
    const int8_t *x8 = c->data[0];
    const int16_t *x16 = c->data[0];
    int8_t *y8 = c->data[1];
    int16_t *y16 = c->data[1];
    const int32_t min = (is_s8 ? INT8_MIN : INT16_MIN) - p->y_zero_point;
    const int32_t max = (is_s8 ? INT8_MAX : INT16_MAX) - p->y_zero_point;
    pe_loops kept, reduced;
    uint32_t count, at = 0, unused = 0;
    pe_reduce_loops(c->tensor[0], p->axes, &kept, &reduced, &count);
    do {
        for (uint32_t i = 0; i < kept.n[0]; i++) {
            uint32_t sum = 0u - (uint32_t)p->x_zero_point * count, xt = at + i * kept.a[0];
            do {
                for (uint32_t k = 0; k < reduced.n[0]; k++) {
                    const uint32_t from = xt + k * reduced.a[0];
                    sum += (uint32_t)(is_s8 ? x8[from] : x16[from]);
                }
            } while (pe_loops_next(&reduced, &xt, &unused));
            const int32_t y = pe_requantize((int32_t)sum, p->multiplier, p->shift);
            if (is_s8)
                *y8++ = (int8_t)(pe_clamp_s32(y, min, max) + p->y_zero_point);
            else
                *y16++ = (int16_t)(pe_clamp_s32(y, min, max) + p->y_zero_point);
        }
    } while (pe_loops_next(&kept, &at, &unused));
}

static pe_status check_s8(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_mean_params *p = c->params;
    (void)scratch_bytes;
    return check_codes(c, PE_S8, pe_is_s8(p->x_zero_point) && pe_is_s8(p->y_zero_point), text);
}

static void run_s8(const pe_call *c)
{
    run_codes(c, true);
}

static pe_status check_s16(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_mean_params *p = c->params;
    (void)scratch_bytes;
    return check_codes(c, PE_S16, pe_is_s16(p->x_zero_point) && pe_is_s16(p->y_zero_point), text);
}

static void run_s16(const pe_call *c)
{
    run_codes(c, false);
}

static pe_status check_f32(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    return check_shapes(c, PE_F32, text);
}

static void run_f32(const pe_call *c)
{
    const pe_elementwise *by_vectors = c->kernels->elementwise;
    if (by_vectors && by_vectors->mean_float(c))
        return;
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

static pe_status check_f16(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    return check_shapes(c, PE_F16, text);
}

static void run_f16(const pe_call *c)
{
    const pe_elementwise *by_vectors = c->kernels->elementwise;
    if (by_vectors && by_vectors->mean_float(c))
        return;
    const uint16_t *x = c->data[0];
    uint16_t *y = c->data[1];
    pe_loops kept, reduced;
    uint32_t count, at = 0, unused = 0;
    pe_reduce_loops(c->tensor[0], ((const pe_mean_params *)c->params)->axes, &kept, &reduced, &count);
    do {
        for (uint32_t i = 0; i < kept.n[0]; i++) {
            uint32_t xt = at + i * kept.a[0];
            float sum = 0;
            do {
                for (uint32_t k = 0; k < reduced.n[0]; k++)
                    sum += pe_f16_widen(x[xt + k * reduced.a[0]]);
            } while (pe_loops_next(&reduced, &xt, &unused));
            *y++ = pe_f16_round(sum / (float)count);
        }
    } while (pe_loops_next(&kept, &at, &unused));
}

#define MEAN_DEF(type, TYPE)                    \
    const pe_op_def pe_op_def_mean_##type = {   \
        .kind = PE_OP_MEAN_##TYPE,              \
        .params_bytes = sizeof(pe_mean_params), \
        .min_inputs = 1,                        \
        .max_inputs = 1,                        \
        .outputs = 1,                           \
        .name = "mean_" #type,                  \
        .check = check_##type,                  \
        .run = run_##type,                      \
    };

MEAN_DEF(s8, S8)
MEAN_DEF(s16, S16)
MEAN_DEF(f32, F32)
MEAN_DEF(f16, F16)
