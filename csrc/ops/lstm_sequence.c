#include "check.h"
#include "kernels/kernels.h"
#include "logistic_s16.h"
#include "math_f32.h"
#include "ops.h"
#include "s16.h"

/* UNIDIRECTIONAL_SEQUENCE_LSTM of TFLite: x[B,T,I], or [T,B,I] with time_major, w[4,H,I] r[4,H,H] bias h[B,H] c[B,H]
 * -> y of x's layout, h c. Gates in the order input, forget, cell, output. h and c of the result may lie on those given.
 *
 * _f32: bias[4,H]. A gate's sum starts as its bias and takes fma(x, w, sum) over the inputs, then fma(h, r, sum).
 * _s8: x, w, r, h and y int8, c int16, bias int32[2,4,H]: of the sums over x and over h, the zero points in it. Each of
 * the two sums becomes int16 of scale 2^-12 before they are added; gates are Q0.15. To the bit as TFLM.
 * _s16: x, h and y int16 with zero point 0, w and r int8, bias int64[4,H], sums of 64 bits. */

enum input { X, W, R, BIAS, H0, C0, INPUTS };
enum gate { IN, FORGET, CELL, OUT, GATES };

typedef struct lstm {
    const pe_lstm_sequence_params *p;
    uint32_t steps, batch, inputs, hidden;
} lstm;

static lstm resolve(const pe_call *c)
{
    const pe_lstm_sequence_params *p = c->params;
    const pe_tensor *x = c->tensor[X];
    return (lstm){
        .p = p,
        .steps = (uint32_t)x->dims[p->time_major ? 0 : 1],
        .batch = (uint32_t)x->dims[p->time_major ? 1 : 0],
        .inputs = (uint32_t)x->dims[2],
        .hidden = (uint32_t)c->tensor[H0]->dims[1],
    };
}

/* Number of the row of x and of y at a time, of one sequence of the batch. */
static uint32_t row_of(const lstm *l, uint32_t batch, uint32_t step)
{
    return l->p->time_major ? step * l->batch + batch : batch * l->steps + step;
}

/* -- float32 --------------------------------------------------------------------------------------------------------- */

static void step_f32(const pe_call *call, const lstm *l, const float *x, float *h, float *c)
{
    const uint32_t n = l->hidden, rows = GATES * n;
    const float infinity = __builtin_inff();
    float *from_x = call->scratch, *sum = from_x + rows;
    call->kernels->gemm_f32(1, rows, l->inputs, x, l->inputs, call->data[W], call->data[BIAS], -infinity, infinity,
                            from_x, rows);
    call->kernels->gemm_f32(1, rows, n, h, n, call->data[R], from_x, -infinity, infinity, sum, rows);
    for (uint32_t i = 0; i < n; i++) {
        const float in = pe_sigmoid_f32(sum[IN * n + i]), forget = pe_sigmoid_f32(sum[FORGET * n + i]);
        const float cell = pe_fmaf(forget, c[i], in * pe_tanh_f32(sum[CELL * n + i]));
        c[i] = pe_clip_f32(cell, -l->p->f_clip, l->p->f_clip);
        h[i] = pe_sigmoid_f32(sum[OUT * n + i]) * pe_tanh_f32(c[i]);
    }
}

static void run_f32(const pe_call *call)
{
    const lstm l = resolve(call);
    const uint32_t n = l.hidden;
    for (uint32_t b = 0; b < l.batch; b++) {
        const float *h0 = (const float *)call->data[H0] + b * n, *c0 = (const float *)call->data[C0] + b * n;
        float *h = (float *)call->data[INPUTS + 1] + b * n, *c = (float *)call->data[INPUTS + 2] + b * n;
        for (uint32_t i = 0; i < n; i++)
            h[i] = h0[i], c[i] = c0[i];
        for (uint32_t t = 0; t < l.steps; t++) {
            const uint32_t row = row_of(&l, b, t);
            float *y = (float *)call->data[INPUTS] + row * n;
            step_f32(call, &l, (const float *)call->data[X] + row * l.inputs, h, c);
            for (uint32_t i = 0; i < n; i++)
                y[i] = h[i];
        }
    }
}

/* -- integers -------------------------------------------------------------------------------------------------------- */

static int16_t saturate_s16(int32_t x)
{
    return (int16_t)pe_clamp_s32(x, INT16_MIN, INT16_MAX);
}

/* start + sum of a * b, requantized to int16. */
static int16_t sum_s8(uint32_t n, const int8_t *a, const int8_t *b, int32_t start, int32_t multiplier, int32_t shift)
{
    uint32_t sum = (uint32_t)start;
    for (uint32_t i = 0; i < n; i++)
        sum += (uint32_t)(a[i] * b[i]);
    return saturate_s16(pe_requantize((int32_t)sum, multiplier, shift));
}

/* The same in 64 bits. */
static int16_t sum_s16(uint32_t n, const int16_t *a, const int8_t *b, int64_t start, int32_t multiplier, int32_t shift)
{
    const int64_t sum = (int64_t)((uint64_t)start + (uint64_t)pe_dot_s16(a, b, n));
    return saturate_s16(pe_requantize_s64(sum, multiplier, shift));
}

static int16_t multiply_s16(int16_t a, int16_t b, int32_t multiplier, int32_t shift)
{
    return saturate_s16(pe_requantize(a * b, multiplier, shift));
}

/* Sums of all gates, over x and over h. wide: x and h are int16. */
static inline void gate_sums(const pe_call *call, const lstm *l, const void *x, const void *h, int16_t *sum, bool wide)
{
    const pe_lstm_sequence_params *p = l->p;
    const uint32_t n = l->hidden, rows = GATES * n;
    const int8_t *w = call->data[W], *r = call->data[R];
    for (uint32_t i = 0; i < rows; i++, w += l->inputs, r += n) {
        const uint32_t g = i / n;
        int16_t from_x, from_h;
        if (wide) {
            const int64_t *bias = call->data[BIAS];
            from_x = sum_s16(l->inputs, x, w, bias[i], p->x_multiplier[g], p->x_shift[g]);
            from_h = sum_s16(n, h, r, 0, p->h_multiplier[g], p->h_shift[g]);
        } else {
            const int32_t *bias = call->data[BIAS];
            from_x = sum_s8(l->inputs, x, w, bias[i], p->x_multiplier[g], p->x_shift[g]);
            from_h = sum_s8(n, h, r, bias[rows + i], p->h_multiplier[g], p->h_shift[g]);
        }
        sum[i] = saturate_s16(from_x + from_h);
    }
}

/* The new cell of a unit; returns its result without zero point, of the scale of h. */
static int32_t update(const lstm *l, const int16_t *sum, uint32_t i, int16_t *c)
{
    const pe_lstm_sequence_params *p = l->p;
    const uint32_t n = l->hidden;
    const pe_table_scale gate_scale = {3, 0}, cell_scale = {p->tanh_multiplier, p->tanh_shift};
    const int16_t in = pe_logistic_s16(sum[IN * n + i], gate_scale);
    const int16_t forget = pe_logistic_s16(sum[FORGET * n + i], gate_scale);
    const int16_t candidate = pe_tanh_s16(sum[CELL * n + i], gate_scale);
    const int16_t out = pe_logistic_s16(sum[OUT * n + i], gate_scale);
    const int16_t fresh = multiply_s16(in, candidate, p->in_multiplier, p->in_shift);
    const int16_t kept = multiply_s16(forget, *c, p->forget_multiplier, p->forget_shift);
    *c = saturate_s16(pe_clamp_s32(saturate_s16(kept + fresh), -p->clip, p->clip));
    return pe_requantize(pe_tanh_s16(*c, cell_scale) * out, p->out_multiplier, p->out_shift);
}

static inline void run_integer(const pe_call *call, bool wide)
{
    const lstm l = resolve(call);
    const uint32_t n = l.hidden, bytes = wide ? 2 : 1;
    const pe_output_s8 out = {l.p->h_zero_point, INT8_MIN, INT8_MAX};
    for (uint32_t b = 0; b < l.batch; b++) {
        const uint8_t *h0 = (const uint8_t *)call->data[H0] + b * n * bytes;
        const int16_t *c0 = (const int16_t *)call->data[C0] + b * n;
        uint8_t *h = (uint8_t *)call->data[INPUTS + 1] + b * n * bytes;
        int16_t *c = (int16_t *)call->data[INPUTS + 2] + b * n, *sum = call->scratch;
        for (uint32_t i = 0; i < n * bytes; i++)
            h[i] = h0[i];
        for (uint32_t i = 0; i < n; i++)
            c[i] = c0[i];
        for (uint32_t t = 0; t < l.steps; t++) {
            const uint32_t row = row_of(&l, b, t);
            uint8_t *y = (uint8_t *)call->data[INPUTS] + row * n * bytes;
            gate_sums(call, &l, (const uint8_t *)call->data[X] + row * l.inputs * bytes, h, sum, wide);
            for (uint32_t i = 0; i < n; i++) {
                const int32_t code = update(&l, sum, i, &c[i]);
                if (wide)
                    ((int16_t *)(void *)h)[i] = saturate_s16(code);
                else
                    ((int8_t *)h)[i] = pe_output_to_s8(code, &out);
            }
            for (uint32_t i = 0; i < n * bytes; i++)
                y[i] = h[i];
        }
    }
}

static void run_s8(const pe_call *call)
{
    run_integer(call, false);
}

static void run_s16(const pe_call *call)
{
    run_integer(call, true);
}

/* -- checks ---------------------------------------------------------------------------------------------------------- */

static bool is_shape(const pe_tensor *t, uint8_t dtype, uint32_t rank, uint32_t a, uint32_t b, uint32_t c)
{
    return t->dtype == dtype && t->rank == rank && (uint32_t)t->dims[0] == a && (uint32_t)t->dims[1] == b &&
           (uint32_t)t->dims[2] == c;
}

/* What all types share. */
static pe_status check(const pe_call *call, uint8_t dtype, uint8_t weight_dtype, uint8_t cell_dtype, const char **text)
{
    const pe_tensor *x = call->tensor[X], *h = call->tensor[H0], *const *y = &call->tensor[INPUTS];
    *text = "lstm_sequence: x [B, T, I] and h [B, H] have other ranks";
    if (x->rank != 3 || h->rank != 2)
        return PE_ERR_SHAPE;
    const lstm l = resolve(call);
    *text = "lstm_sequence: the dtypes or shapes do not fit together";
    if (x->dtype != dtype || !is_shape(call->tensor[W], weight_dtype, 3, GATES, l.hidden, l.inputs) ||
        !is_shape(call->tensor[R], weight_dtype, 3, GATES, l.hidden, l.hidden) ||
        !is_shape(h, dtype, 2, l.batch, l.hidden, 1) ||
        !is_shape(call->tensor[C0], cell_dtype, 2, l.batch, l.hidden, 1) ||
        !is_shape(y[0], dtype, 3, (uint32_t)x->dims[0], (uint32_t)x->dims[1], l.hidden) ||
        !is_shape(y[1], dtype, 2, l.batch, l.hidden, 1) || !is_shape(y[2], cell_dtype, 2, l.batch, l.hidden, 1))
        return PE_ERR_SHAPE;
    return PE_OK;
}

static pe_status check_f32(const pe_call *call, uint32_t *scratch_bytes, const char **text)
{
    const pe_lstm_sequence_params *p = call->params;
    if (check(call, PE_F32, PE_F32, PE_F32, text))
        return PE_ERR_SHAPE;
    const uint32_t hidden = (uint32_t)call->tensor[H0]->dims[1];
    *text = "lstm_sequence_f32: bias [4, H], or a clip that is not above 0";
    if (!is_shape(call->tensor[BIAS], PE_F32, 2, GATES, hidden, 1) || !(p->f_clip > 0))
        return PE_ERR_SHAPE;
    *scratch_bytes = 2 * GATES * hidden * (uint32_t)sizeof(float); /* hidden^2 <= 2^26 */
    return PE_OK;
}

static pe_status check_integer(const pe_call *call, bool wide, uint32_t *scratch_bytes, const char **text)
{
    const pe_lstm_sequence_params *p = call->params;
    *text = "lstm_sequence: a factor, the clip, the zero point or the scale of the cell is out of range";
    for (uint32_t i = 0; !wide && i < GATES; i++) { /* pe_requantize_s64 takes any */
        if (!pe_is_multiplier(p->x_multiplier[i], p->x_shift[i]) ||
            !pe_is_multiplier(p->h_multiplier[i], p->h_shift[i]))
            return PE_ERR_SHAPE;
    }
    if (!pe_is_multiplier(p->in_multiplier, p->in_shift) || !pe_is_multiplier(p->forget_multiplier, p->forget_shift) ||
        !pe_is_multiplier(p->out_multiplier, p->out_shift) || p->clip < 0 || p->clip > 32768 ||
        !pe_is_s8(p->h_zero_point) || p->tanh_multiplier < 1 || p->tanh_multiplier > 3 << 13 || p->tanh_shift < 0 ||
        p->tanh_shift > 15)
        return PE_ERR_SHAPE;
    *scratch_bytes = GATES * (uint32_t)call->tensor[H0]->dims[1] * (uint32_t)sizeof(int16_t);
    return PE_OK;
}

static pe_status check_s8(const pe_call *call, uint32_t *scratch_bytes, const char **text)
{
    if (check(call, PE_S8, PE_S8, PE_S16, text))
        return PE_ERR_SHAPE;
    *text = "lstm_sequence_s8: bias is not int32 [2, 4, H]";
    if (!is_shape(call->tensor[BIAS], PE_S32, 3, 2, GATES, (uint32_t)call->tensor[H0]->dims[1]))
        return PE_ERR_SHAPE;
    return check_integer(call, false, scratch_bytes, text);
}

static pe_status check_s16(const pe_call *call, uint32_t *scratch_bytes, const char **text)
{
    if (check(call, PE_S16, PE_S8, PE_S16, text))
        return PE_ERR_SHAPE;
    *text = "lstm_sequence_s16: bias is not int64 [4, H]";
    if (!is_shape(call->tensor[BIAS], PE_S64, 2, GATES, (uint32_t)call->tensor[H0]->dims[1], 1))
        return PE_ERR_SHAPE;
    return check_integer(call, true, scratch_bytes, text);
}

const pe_op_def pe_op_def_lstm_sequence_f32 = {
    .kind = PE_OP_LSTM_SEQUENCE_F32,
    .params_bytes = sizeof(pe_lstm_sequence_params),
    .min_inputs = INPUTS,
    .max_inputs = INPUTS,
    .outputs = 3,
    .name = "lstm_sequence_f32",
    .check = check_f32,
    .run = run_f32,
};

const pe_op_def pe_op_def_lstm_sequence_s8 = {
    .kind = PE_OP_LSTM_SEQUENCE_S8,
    .params_bytes = sizeof(pe_lstm_sequence_params),
    .min_inputs = INPUTS,
    .max_inputs = INPUTS,
    .outputs = 3,
    .name = "lstm_sequence_s8",
    .check = check_s8,
    .run = run_s8,
};

const pe_op_def pe_op_def_lstm_sequence_s16 = {
    .kind = PE_OP_LSTM_SEQUENCE_S16,
    .params_bytes = sizeof(pe_lstm_sequence_params),
    .min_inputs = INPUTS,
    .max_inputs = INPUTS,
    .outputs = 3,
    .name = "lstm_sequence_s16",
    .check = check_s16,
    .run = run_s16,
};
