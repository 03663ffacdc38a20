#include "check.h"
#include "ops.h"
#include "requantize.h"

/* SVDF of TFLite (Alvarez and Park 2018, "End-to-end streaming keyword spotting"): a filter f is a vector over the
 * inputs, feature[F,I], followed by one over time, time[F,M]; a unit sums `rank` filters. x[B,I] feature time bias[U] or
 * none, state[B,F*M] -> y[B,U] state, where the state holds the last M results of each feature vector, the newest last.
 * The state of the result may lie on the one given.
 *
 * _f32: sums take fma in ascending order; a unit's sum starts as its bias, and gets the filters one after another.
 * _s8: x, feature and y int8, time and state both int8 or int16, bias int32. To the bit as TFLM. */

enum input { X, FEATURE, TIME, BIAS, STATE, INPUTS };

typedef struct svdf {
    uint32_t batch, inputs, filters, memory, rank, units;
} svdf;

static svdf resolve(const pe_call *c)
{
    const pe_svdf_params *p = c->params;
    const uint32_t filters = (uint32_t)c->tensor[FEATURE]->dims[0];
    return (svdf){
        .batch = (uint32_t)c->tensor[X]->dims[0],
        .inputs = (uint32_t)c->tensor[X]->dims[1],
        .filters = filters,
        .memory = (uint32_t)c->tensor[TIME]->dims[1],
        .rank = p->rank,
        .units = filters / p->rank,
    };
}

static void run_f32(const pe_call *c)
{
    const svdf s = resolve(c);
    const pe_svdf_params *p = c->params;
    const float *x = c->data[X], *bias = c->tensor[BIAS] ? c->data[BIAS] : NULL, *old = c->data[STATE];
    float *y = c->data[INPUTS], *state = c->data[INPUTS + 1];
    for (uint32_t b = 0; b < s.batch; b++, x += s.inputs) {
        const float *feature = c->data[FEATURE], *time = c->data[TIME];
        for (uint32_t u = 0; u < s.units; u++) {
            float total = bias ? bias[u] : 0.0f;
            for (uint32_t r = 0; r < s.rank; r++) {
                float newest = 0.0f, sum = 0.0f;
                for (uint32_t i = 0; i < s.inputs; i++)
                    newest = pe_fmaf(feature[i], x[i], newest);
                for (uint32_t j = 0; j < s.memory; j++) {
                    state[j] = j + 1 < s.memory ? old[j + 1] : newest;
                    sum = pe_fmaf(time[j], state[j], sum);
                }
                total += sum;
                feature += s.inputs, time += s.memory, old += s.memory, state += s.memory;
            }
            *y++ = pe_clip_f32(total, p->f_min, p->f_max);
        }
    }
}

static inline int32_t get(const void *p, uint32_t i, bool wide)
{
    return wide ? ((const int16_t *)p)[i] : ((const int8_t *)p)[i];
}

static inline void put(void *p, uint32_t i, bool wide, int32_t x)
{
    if (wide)
        ((int16_t *)p)[i] = (int16_t)x;
    else
        ((int8_t *)p)[i] = (int8_t)x;
}

static inline void run_integer(const pe_call *c, bool wide)
{
    const svdf s = resolve(c);
    const pe_svdf_params *p = c->params;
    const int8_t *x = c->data[X];
    const int32_t *bias = c->tensor[BIAS] ? c->data[BIAS] : NULL;
    const pe_output_s8 out = {p->y_zero_point, INT8_MIN, INT8_MAX};
    int8_t *y = c->data[INPUTS];
    uint32_t at = 0; /* of the filter in the states */
    for (uint32_t b = 0; b < s.batch; b++, x += s.inputs) {
        for (uint32_t u = 0; u < s.units; u++) {
            uint32_t total = bias ? (uint32_t)bias[u] : 0;
            for (uint32_t f = u * s.rank; f < (u + 1) * s.rank; f++, at += s.memory) {
                const int8_t *feature = (const int8_t *)c->data[FEATURE] + f * s.inputs;
                uint32_t sum = 0;
                for (uint32_t i = 0; i < s.inputs; i++)
                    sum += (uint32_t)(feature[i] * (x[i] - p->x_zero_point));
                const int32_t scaled = pe_requantize((int32_t)sum, p->state_multiplier, p->state_shift);
                /* Saturated before the zero point is added: with one, the sum wraps. */
                const int32_t limit = wide ? INT16_MAX : INT8_MAX;
                const int32_t code = pe_clamp_s32(scaled, -limit - 1, limit) + p->state_zero_point;
                const int32_t newest = wide ? (int16_t)code : (int8_t)code;
                for (uint32_t j = 0; j < s.memory; j++) {
                    const int32_t v = j + 1 < s.memory ? get(c->data[STATE], at + j + 1, wide) : newest;
                    put(c->data[INPUTS + 1], at + j, wide, v);
                    total += (uint32_t)get(c->data[TIME], f * s.memory + j, wide) * (uint32_t)(v - p->state_zero_point);
                }
            }
            *y++ = pe_requantize_s8(total, p->y_multiplier, p->y_shift, &out);
        }
    }
}

static void run_s8(const pe_call *c)
{
    if (c->tensor[STATE]->dtype == PE_S16)
        run_integer(c, true);
    else
        run_integer(c, false);
}

static bool is_matrix(const pe_tensor *t, uint8_t dtype, uint64_t rows, uint64_t columns)
{
    return t->dtype == dtype && t->rank == 2 && (uint64_t)t->dims[0] == rows && (uint64_t)t->dims[1] == columns;
}

static pe_status check(const pe_call *c, uint8_t dtype, uint8_t state_dtype, uint8_t bias_dtype, const char **text)
{
    const pe_svdf_params *p = c->params;
    const pe_tensor *x = c->tensor[X], *feature = c->tensor[FEATURE], *time = c->tensor[TIME], *bias = c->tensor[BIAS];
    *text = "svdf: x, feature and time are not of rank 2, or the rank does not divide the filters";
    if (x->rank != 2 || feature->rank != 2 || time->rank != 2 || p->rank < 1 ||
        (uint32_t)feature->dims[0] % p->rank != 0)
        return PE_ERR_SHAPE;
    const svdf s = resolve(c);
    const uint64_t cells = (uint64_t)s.filters * s.memory;
    *text = "svdf: the dtypes or shapes do not fit together";
    if (!is_matrix(x, dtype, s.batch, s.inputs) || !is_matrix(feature, dtype, s.filters, s.inputs) ||
        !is_matrix(time, state_dtype, s.filters, s.memory) ||
        !is_matrix(c->tensor[STATE], state_dtype, s.batch, cells) ||
        !is_matrix(c->tensor[INPUTS], dtype, s.batch, s.units) ||
        !is_matrix(c->tensor[INPUTS + 1], state_dtype, s.batch, cells) ||
        (bias && (bias->dtype != bias_dtype || bias->rank != 1 || (uint32_t)bias->dims[0] != s.units)))
        return PE_ERR_SHAPE;
    return PE_OK;
}

static pe_status check_f32(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_svdf_params *p = c->params;
    (void)scratch_bytes;
    if (check(c, PE_F32, PE_F32, PE_F32, text))
        return PE_ERR_SHAPE;
    *text = "svdf_f32: clamp";
    return pe_is_range_f32(p->f_min, p->f_max) ? PE_OK : PE_ERR_SHAPE;
}

static pe_status check_s8(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_svdf_params *p = c->params;
    const uint8_t state = c->tensor[STATE]->dtype;
    const int32_t limit = state == PE_S16 ? INT16_MAX : INT8_MAX;
    (void)scratch_bytes;
    *text = "svdf_s8: the state is neither int8 nor int16";
    if (state != PE_S8 && state != PE_S16)
        return PE_ERR_SHAPE;
    if (check(c, PE_S8, state, PE_S32, text))
        return PE_ERR_SHAPE;
    *text = "svdf_s8: a factor or zero point is out of range";
    if (!pe_is_multiplier(p->state_multiplier, p->state_shift) || !pe_is_multiplier(p->y_multiplier, p->y_shift) ||
        !pe_is_s8(p->x_zero_point) || !pe_is_s8(p->y_zero_point) || p->state_zero_point < -limit - 1 ||
        p->state_zero_point > limit)
        return PE_ERR_SHAPE;
    return PE_OK;
}

const pe_op_def pe_op_def_svdf_f32 = {
    .kind = PE_OP_SVDF_F32,
    .params_bytes = sizeof(pe_svdf_params),
    .min_inputs = INPUTS,
    .max_inputs = INPUTS,
    .outputs = 2,
    .optional = 1 << BIAS,
    .name = "svdf_f32",
    .check = check_f32,
    .run = run_f32,
};

const pe_op_def pe_op_def_svdf_s8 = {
    .kind = PE_OP_SVDF_S8,
    .params_bytes = sizeof(pe_svdf_params),
    .min_inputs = INPUTS,
    .max_inputs = INPUTS,
    .outputs = 2,
    .optional = 1 << BIAS,
    .name = "svdf_s8",
    .check = check_s8,
    .run = run_s8,
};
