#include "kernels/kernels.h"
#include "ops.h"
#include "rnn_math.h"

/* rnn, gru, lstm of ONNX in float32: x[T,B,I] w[D,G*H,I] r[D,G*H,H] [bias[D,2*G*H]] [lengths[B]] [h0[D,B,H]], for lstm
 * [c0[D,B,H]] [peepholes[D,3*H]] -> y[T,D,B,H] h[D,B,H], for lstm c[D,B,H]. With batch_first x[B,T,I], y[B,T,D,H] and
 * states [B,D,H].
 *
 * A gate's sum starts as the sum of its two biases, takes fma(x, w, sum) over the inputs and then fma(h, r, sum) over the
 * state, each in ascending order. The state lives in the outputs h and c. Steps beyond a sequence's length leave it
 * alone and give 0; the backward direction starts at the last step of each sequence. */

enum input { X, W, R, BIAS, LENGTHS, H0, C0, PEEPHOLES };
#define GATES_MAX 4

typedef struct rnn {
    const pe_call *c;
    const pe_rnn_params *p;
    uint32_t steps, batch, inputs, hidden, directions, gates;
    float *sums, *from_x, *bias; /* [gates * hidden] of scratch */
    float *reset;                /* [hidden] of scratch; gru */
} rnn;

static bool has(const pe_call *c, uint32_t input)
{
    return input < c->inputs && c->tensor[input];
}

static rnn resolve(const pe_call *c, uint32_t gates)
{
    const pe_rnn_params *p = c->params;
    const pe_tensor *x = c->tensor[X], *r = c->tensor[R];
    rnn g = {
        .c = c,
        .p = p,
        .steps = (uint32_t)x->dims[p->batch_first ? 1 : 0],
        .batch = (uint32_t)x->dims[p->batch_first ? 0 : 1],
        .inputs = (uint32_t)x->dims[2],
        .hidden = (uint32_t)r->dims[2],
        .directions = (uint32_t)r->dims[0],
        .gates = gates,
    };
    if (c->scratch) { /* unset during check */
        g.sums = c->scratch;
        g.from_x = g.sums + gates * g.hidden;
        g.bias = g.from_x + gates * g.hidden;
        g.reset = g.bias + gates * g.hidden;
    }
    return g;
}

/* Activation number i of a direction. */
static float activate(const rnn *g, uint32_t direction, uint32_t i, float x)
{
    const uint32_t at = direction * 3 + i;
    return pe_rnn_activation(g->p->activation[at], g->p->alpha[at], g->p->beta[at], x);
}

/* The same of a gate's sum, clipped. */
static float gate(const rnn *g, uint32_t direction, uint32_t i, float sum)
{
    return activate(g, direction, i, pe_clip_f32(sum, -g->p->clip, g->p->clip));
}

static void gemv(const rnn *g, uint32_t n, uint32_t k, const float *x, const float *w, const float *start, float *y)
{
    const float infinity = __builtin_inff();
    g->c->kernels->gemm_f32(1, n, k, x, k, w, start, -infinity, infinity, y, n);
}

/* The weights of gates from `first` on, of w or r with k columns, and what their sums start from. */
static const float *weights(const rnn *g, uint32_t input, uint32_t direction, uint32_t first, uint32_t k)
{
    return (const float *)g->c->data[input] + (direction * g->gates + first) * g->hidden * k;
}

static const float *bias_of(const rnn *g, uint32_t direction, uint32_t first, bool recurrent)
{
    if (!has(g->c, BIAS))
        return NULL;
    return (const float *)g->c->data[BIAS] + ((direction * 2 + recurrent) * g->gates + first) * g->hidden;
}

static void start_direction(rnn *g, uint32_t direction)
{
    const float *bw = bias_of(g, direction, 0, false), *br = bias_of(g, direction, 0, true);
    for (uint32_t i = 0; i < g->gates * g->hidden; i++)
        g->bias[i] = bw ? bw[i] + br[i] : 0.0f;
}

/* sums of `gates` gates from `first` on, of x and h. */
static void gate_sums(const rnn *g, uint32_t direction, uint32_t first, uint32_t gates, const float *x, const float *h)
{
    const uint32_t n = gates * g->hidden, at = first * g->hidden;
    gemv(g, n, g->inputs, x, weights(g, W, direction, first, g->inputs), g->bias + at, g->from_x + at);
    gemv(g, n, g->hidden, h, weights(g, R, direction, first, g->hidden), g->from_x + at, g->sums + at);
}

static void step_rnn(const rnn *g, uint32_t direction, const float *x, float *h, float *cell)
{
    (void)cell;
    gate_sums(g, direction, 0, 1, x, h);
    for (uint32_t i = 0; i < g->hidden; i++)
        h[i] = gate(g, direction, 0, g->sums[i]);
}

/* Gates z, r, h: h = (1 - z) * n + z * h. */
static void step_gru(const rnn *g, uint32_t direction, const float *x, float *h, float *cell)
{
    const uint32_t hidden = g->hidden;
    float *z = g->sums, *r = z + hidden, *n = r + hidden;
    (void)cell;
    gate_sums(g, direction, 0, 2, x, h);
    for (uint32_t i = 0; i < 2 * hidden; i++)
        z[i] = gate(g, direction, 0, z[i]);
    if (g->p->linear_before_reset) {
        const float *wx = weights(g, W, direction, 2, g->inputs), *rh = weights(g, R, direction, 2, hidden);
        gemv(g, hidden, g->inputs, x, wx, bias_of(g, direction, 2, false), g->from_x);
        gemv(g, hidden, hidden, h, rh, bias_of(g, direction, 2, true), n);
        for (uint32_t i = 0; i < hidden; i++)
            n[i] = pe_fmaf(r[i], n[i], g->from_x[i]);
    } else {
        for (uint32_t i = 0; i < hidden; i++)
            g->reset[i] = r[i] * h[i];
        gate_sums(g, direction, 2, 1, x, g->reset);
    }
    for (uint32_t i = 0; i < hidden; i++)
        h[i] = pe_fmaf(z[i], h[i], (1.0f - z[i]) * gate(g, direction, 1, n[i]));
}

/* Gates i, o, f, c: cell = f * cell + i * c; h = o * activation(cell). */
static void step_lstm(const rnn *g, uint32_t direction, const float *x, float *h, float *cell)
{
    const uint32_t hidden = g->hidden;
    const float *p = has(g->c, PEEPHOLES) ? (const float *)g->c->data[PEEPHOLES] + direction * 3 * hidden : NULL;
    const float *sums = g->sums;
    gate_sums(g, direction, 0, 4, x, h);
    for (uint32_t i = 0; i < hidden; i++) {
        float si = sums[i], so = sums[hidden + i], sf = sums[2 * hidden + i];
        const float in = gate(g, direction, 0, p ? pe_fmaf(p[i], cell[i], si) : si);
        const float forget =
            g->p->input_forget ? 1.0f - in : gate(g, direction, 0, p ? pe_fmaf(p[2 * hidden + i], cell[i], sf) : sf);
        const float candidate = gate(g, direction, 1, sums[3 * hidden + i]);
        cell[i] = pe_fmaf(forget, cell[i], in * candidate);
        const float out = gate(g, direction, 0, p ? pe_fmaf(p[hidden + i], cell[i], so) : so);
        h[i] = out * activate(g, direction, 2, cell[i]);
    }
}

typedef void step_fn(const rnn *g, uint32_t direction, const float *x, float *h, float *cell);

static void load_state(const rnn *g, uint32_t input, uint32_t at, float *state)
{
    const float *from = has(g->c, input) ? (const float *)g->c->data[input] + at : NULL;
    for (uint32_t i = 0; i < g->hidden; i++)
        state[i] = from ? from[i] : 0.0f;
}

static void run(const pe_call *c, uint32_t gates, step_fn *step)
{
    rnn g = resolve(c, gates);
    const uint32_t hidden = g.hidden, first_y = c->inputs;
    const bool batch_first = g.p->batch_first != 0, is_lstm = gates == GATES_MAX;
    for (uint32_t d = 0; d < g.directions; d++) {
        const bool backward = g.p->direction == PE_RNN_REVERSE || d == 1;
        start_direction(&g, d);
        for (uint32_t b = 0; b < g.batch; b++) {
            const uint32_t state = (batch_first ? b * g.directions + d : d * g.batch + b) * hidden;
            float *h = (float *)c->data[first_y + 1] + state;
            float *cell = is_lstm ? (float *)c->data[first_y + 2] + state : NULL;
            load_state(&g, H0, state, h);
            if (is_lstm)
                load_state(&g, C0, state, cell);
            int32_t length = has(c, LENGTHS) ? ((const int32_t *)c->data[LENGTHS])[b] : (int32_t)g.steps;
            length = length<0 ? 0 : length>(int32_t) g.steps ? (int32_t)g.steps : length;
            for (uint32_t s = 0; s < g.steps; s++) {
                const bool live = s < (uint32_t)length;
                const uint32_t t = backward && live ? (uint32_t)length - 1 - s : s;
                const uint32_t row = batch_first ? b * g.steps + t : t * g.batch + b;
                const uint32_t y_row = batch_first ? row * g.directions + d : (t * g.directions + d) * g.batch + b;
                float *y = (float *)c->data[first_y] + y_row * hidden;
                if (live)
                    step(&g, d, (const float *)c->data[X] + row * g.inputs, h, cell);
                for (uint32_t i = 0; i < hidden; i++)
                    y[i] = live ? h[i] : 0.0f;
            }
        }
    }
}

static bool is_shape(const pe_tensor *t, uint8_t dtype, uint32_t rank, uint64_t a, uint64_t b, uint64_t d)
{
    return t->dtype == dtype && t->rank == rank && (uint64_t)t->dims[0] == a && (uint64_t)t->dims[1] == b &&
           (uint64_t)t->dims[2] == d;
}

static pe_status check(const pe_call *c, uint32_t gates, uint32_t *scratch_bytes, const char **text)
{
    const pe_rnn_params *p = c->params;
    const pe_tensor *x = c->tensor[X], *w = c->tensor[W], *r = c->tensor[R], *y = c->tensor[c->inputs];
    *text = "rnn: x, w, r and y are not float32 of rank 3, 3, 3 and 4";
    if (x->dtype != PE_F32 || x->rank != 3 || r->dtype != PE_F32 || r->rank != 3 || y->dtype != PE_F32 || y->rank != 4)
        return PE_ERR_SHAPE;
    *text = "rnn: direction, flags or activations are unknown, or the clip is not above 0";
    if (p->direction < PE_RNN_FORWARD || p->direction > PE_RNN_BIDIRECTIONAL || !(p->clip > 0))
        return PE_ERR_SHAPE;
    for (uint32_t i = 0; i < 6; i++)
        if (p->activation[i] < 0 || p->activation[i] > PE_RNN_SOFTPLUS)
            return PE_ERR_SHAPE;
    const rnn g = resolve(c, gates);
    const uint64_t hidden = g.hidden, rows = (uint64_t)gates * hidden;
    *text = "rnn: the shapes of w, r, bias, lengths, states or peepholes do not fit together";
    if (g.directions != (p->direction == PE_RNN_BIDIRECTIONAL ? 2 : 1) ||
        !is_shape(w, PE_F32, 3, g.directions, rows, g.inputs) || !is_shape(r, PE_F32, 3, g.directions, rows, hidden))
        return PE_ERR_SHAPE;
    const uint64_t s0 = p->batch_first ? g.batch : g.directions, s1 = p->batch_first ? g.directions : g.batch;
    if ((has(c, BIAS) && !is_shape(c->tensor[BIAS], PE_F32, 2, g.directions, 2 * rows, 1)) ||
        (has(c, LENGTHS) && !is_shape(c->tensor[LENGTHS], PE_S32, 1, g.batch, 1, 1)) ||
        (has(c, H0) && !is_shape(c->tensor[H0], PE_F32, 3, s0, s1, hidden)) ||
        (has(c, C0) && !is_shape(c->tensor[C0], PE_F32, 3, s0, s1, hidden)) ||
        (has(c, PEEPHOLES) && !is_shape(c->tensor[PEEPHOLES], PE_F32, 2, g.directions, 3 * hidden, 1)))
        return PE_ERR_SHAPE;
    *text = "rnn: the shapes of the outputs";
    for (uint32_t i = 1; i < c->outputs; i++)
        if (!is_shape(c->tensor[c->inputs + i], PE_F32, 3, s0, s1, hidden))
            return PE_ERR_SHAPE;
    const uint64_t size[4] = {p->batch_first ? g.batch : g.steps, p->batch_first ? g.steps : g.directions,
                              p->batch_first ? g.directions : g.batch, hidden};
    for (uint32_t i = 0; i < 4; i++)
        if ((uint64_t)y->dims[i] != size[i])
            return PE_ERR_SHAPE;
    *scratch_bytes = (uint32_t)((3 * rows + hidden) * sizeof(float)); /* rows * hidden <= 2^28 */
    return PE_OK;
}

#define RNN_DEF(cell, CELL, gates, number_of_inputs, number_of_outputs)                         \
    static void run_##cell(const pe_call *c)                                                    \
    {                                                                                           \
        run(c, gates, step_##cell);                                                             \
    }                                                                                           \
    static pe_status check_##cell(const pe_call *c, uint32_t *scratch_bytes, const char **text) \
    {                                                                                           \
        return check(c, gates, scratch_bytes, text);                                            \
    }                                                                                           \
    const pe_op_def pe_op_def_##cell##_f32 = {                                                  \
        .kind = PE_OP_##CELL##_F32,                                                             \
        .params_bytes = sizeof(pe_rnn_params),                                                  \
        .min_inputs = 3,                                                                        \
        .max_inputs = number_of_inputs,                                                         \
        .outputs = number_of_outputs,                                                           \
        .optional = 0xF8,                                                                       \
        .name = #cell "_f32",                                                                   \
        .check = check_##cell,                                                                  \
        .run = run_##cell,                                                                      \
    };

RNN_DEF(rnn, RNN, 1, 6, 2)
RNN_DEF(gru, GRU, 3, 6, 2)
RNN_DEF(lstm, LSTM, GATES_MAX, 8, 3)
