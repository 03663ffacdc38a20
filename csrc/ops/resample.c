#include "axis.h"
#include "kernels/fma.h"

/* resample: along one axis each element of y is a weighted sum of elements of x: interpolation of any kind, axis by axis.
 * Indices are clamped, so that any bit pattern is memory-safe. */

static const char *fault(const pe_call *c)
{
    const pe_tensor *x = c->tensor[0], *index = c->tensor[1], *weight = c->tensor[2], *y = c->tensor[3];
    uint32_t axis = ((const pe_resample_params *)c->params)->axis;
    if (index->dtype != PE_S32 || index->rank != 2)
        return "resample: the indices are not int32 [m, taps]";
    if (weight->rank != 2 || weight->dims[0] != index->dims[0] || weight->dims[1] != index->dims[1])
        return "resample: there is not a weight for each index";
    return y->rank == x->rank && pe_axis_fits(x, y, axis, (uint32_t)index->dims[0])
               ? NULL
               : "resample: y is not x with m elements along the axis";
}

static uint32_t clamped(int32_t index, uint32_t n)
{
    return index < 0 ? 0 : (uint32_t)index >= n ? n - 1 : (uint32_t)index;
}

static pe_status check_f32(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    *text = "resample_f32: dtypes";
    if (c->tensor[0]->dtype != PE_F32 || c->tensor[2]->dtype != PE_F32 || c->tensor[3]->dtype != PE_F32)
        return PE_ERR_SHAPE;
    *text = fault(c);
    return *text ? PE_ERR_SHAPE : PE_OK;
}

static void run_f32(const pe_call *c)
{
    const pe_resample_params *p = c->params;
    const float *x = c->data[0], *weights = c->data[2];
    const int32_t *indices = c->data[1];
    float *y = c->data[3];
    uint32_t m = (uint32_t)c->tensor[1]->dims[0], taps = (uint32_t)c->tensor[1]->dims[1];
    pe_axis a = pe_axis_of(c->tensor[0], p->axis);
    for (uint32_t o = 0; o < a.outer; o++, x += a.n * a.inner) {
        for (uint32_t j = 0; j < m; j++, y += a.inner) {
            for (uint32_t i = 0; i < a.inner; i++)
                y[i] = 0;
            for (uint32_t t = 0; t < taps; t++) {
                const float *from = x + clamped(indices[j * taps + t], a.n) * a.inner;
                float w = weights[j * taps + t];
                for (uint32_t i = 0; i < a.inner; i++)
                    y[i] = pe_fmaf(from[i], w, y[i]);
            }
        }
    }
}

static pe_status check_s8(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    uint8_t x = c->tensor[0]->dtype, y = c->tensor[3]->dtype;
    (void)scratch_bytes;
    *text = "resample_s8: dtypes";
    if ((x != PE_S8 && x != PE_S32) || (y != PE_S8 && y != PE_S32) || c->tensor[2]->dtype != PE_S32)
        return PE_ERR_SHAPE;
    *text = "resample_s8: shift";
    if (((const pe_resample_params *)c->params)->shift > 30)
        return PE_ERR_SHAPE;
    *text = fault(c);
    return *text ? PE_ERR_SHAPE : PE_OK;
}

/* sum / 2^shift, halves away from zero, saturated. */
static int8_t divided(int32_t sum, uint32_t shift)
{
    int64_t magnitude = sum < 0 ? -(int64_t)sum : sum;
    int64_t q = (magnitude + ((1ll << shift) >> 1)) >> shift;
    if (sum < 0)
        q = -q;
    return (int8_t)(q < -128 ? -128 : q > 127 ? 127 : q);
}

static void run_s8(const pe_call *c)
{
    const pe_resample_params *p = c->params;
    const int32_t *indices = c->data[1], *weights = c->data[2];
    uint32_t m = (uint32_t)c->tensor[1]->dims[0], taps = (uint32_t)c->tensor[1]->dims[1], to = 0;
    bool narrow = c->tensor[0]->dtype == PE_S8;
    pe_axis a = pe_axis_of(c->tensor[0], p->axis);
    for (uint32_t o = 0; o < a.outer; o++) {
        for (uint32_t j = 0; j < m; j++) {
            for (uint32_t i = 0; i < a.inner; i++, to++) {
                uint32_t sum = 0;
                for (uint32_t t = 0; t < taps; t++) {
                    uint32_t from = (o * a.n + clamped(indices[j * taps + t], a.n)) * a.inner + i;
                    int32_t x = narrow ? ((const int8_t *)c->data[0])[from] : ((const int32_t *)c->data[0])[from];
                    sum += (uint32_t)x * (uint32_t)weights[j * taps + t];
                }
                if (c->tensor[3]->dtype == PE_S8)
                    ((int8_t *)c->data[3])[to] = divided((int32_t)sum, p->shift);
                else
                    ((int32_t *)c->data[3])[to] = (int32_t)sum;
            }
        }
    }
}

const pe_op_def pe_op_def_resample_f32 = {
    .kind = PE_OP_RESAMPLE_F32,
    .params_bytes = sizeof(pe_resample_params),
    .min_inputs = 3,
    .max_inputs = 3,
    .outputs = 1,
    .name = "resample_f32",
    .check = check_f32,
    .run = run_f32,
};

const pe_op_def pe_op_def_resample_s8 = {
    .kind = PE_OP_RESAMPLE_S8,
    .params_bytes = sizeof(pe_resample_params),
    .min_inputs = 3,
    .max_inputs = 3,
    .outputs = 1,
    .name = "resample_s8",
    .check = check_s8,
    .run = run_s8,
};
