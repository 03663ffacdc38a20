#include "f16.h"
#include "kernels/bytes.h"
#include "math_f32.h"
#include "philox.h"

/* sgd_update, momentum_update, adam_update: the next weights and moments of an optimizer (docs/arithmetic.md, "Optimizers").
 * w and g float32 or float16, each by itself; lr, factor and step float32[1]; m and v float32, of the size of g. Results may
 * be the memory of what they follow. Nothing changes if factor is not finite: the step is left out. g may be shorter than w:
 * elements start, start + 1 .. of w. */

enum { W, G, LR, FACTOR, STEP, M, V };
/* Elements at a time, so that compilers use vectors whatever shares memory. */
#ifdef __riscv_vector
#define PE_BLOCK 128 /* of which few instructions take many */
#else
#define PE_BLOCK 32
#endif

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_update_params *p = c->params;
    const pe_tensor *w = c->tensor[W], *g = c->tensor[G], *next = c->tensor[c->inputs];
    (void)scratch_bytes;
    *text = "update: w, its result or g are neither float32 nor float16, or w's result differs from w";
    if (!pe_is_float_or_f16(w) || !pe_is_float_or_f16(g) || next->dtype != w->dtype || next->bytes != w->bytes)
        return PE_ERR_SHAPE;
    uint32_t n = pe_tensor_elements(g), all = pe_tensor_elements(w);
    *text = "update: elements start .. of the size of g are not in w";
    if (p->start > all || n > all - p->start)
        return PE_ERR_SHAPE;
    *text = "update: lr, factor or step is not float32[1]";
    for (uint32_t i = LR; i <= STEP; i++)
        if (c->tensor[i]->dtype != PE_F32 || c->tensor[i]->bytes != sizeof(float))
            return PE_ERR_SHAPE;
    *text = "update: a moment is not float32 of the size of g";
    for (uint32_t i = M; i < c->inputs; i++) {
        const pe_tensor *t = c->tensor[i], *y = c->tensor[c->inputs + 1 + i - M];
        if (t->dtype != PE_F32 || y->dtype != PE_F32 || pe_tensor_elements(t) != n || y->bytes != t->bytes)
            return PE_ERR_SHAPE;
    }
    *text = "update: clip is below 0 or NaN, or the rounding unknown";
    return pe_float_le(0.0f, p->clip) && p->stochastic <= 1 ? PE_OK : PE_ERR_SHAPE;
}

/* x to float16, away from zero with the probability of what is cut off; word: 32 random bits. */
static uint16_t round_stochastic(float x, uint32_t word)
{
    const uint32_t bits = pe_float_bits(x), magnitude = bits & 0x7FFFFFFF;
    uint32_t exponent = magnitude >> 23, mantissa = magnitude & 0x7FFFFF, shift = 13;
    if (magnitude >= 0x47800000) /* 65536, infinity, NaN */
        return pe_f16_round(x);
    if (exponent)
        mantissa |= 0x800000;
    else
        exponent = 1;
    if (exponent < 113) {
        shift += 113 - exponent;
        exponent = 113;
    }
    /* Of the quotient mantissa / 2^shift: whole, and 32 bits of its fraction. */
    uint32_t whole = shift < 32 ? mantissa >> shift : 0;
    uint32_t fraction = shift <= 32 ? mantissa << (32 - shift) : shift < 64 ? mantissa >> (shift - 32) : 0;
    return (uint16_t)((bits >> 16 & 0x8000) | (((exponent - 113) << 10) + whole + (word < fraction)));
}

/* PE_BLOCK floats. Where cores have vectors, compilers for them make a constant copy of words. */
static void copy_block(float *to, const float *from)
{
#ifdef __riscv_vector
    pe_copy_bytes((uint8_t *)to, (const uint8_t *)from, PE_BLOCK * sizeof(float));
#else
    __builtin_memcpy(to, from, PE_BLOCK * sizeof(float));
#endif
}

/* n elements, at most PE_BLOCK; the rest is 0. */
static void load(float *to, const void *from, bool half, uint32_t at, uint32_t n)
{
    uint32_t i = 0;
    if (!half && n == PE_BLOCK) {
        copy_block(to, (const float *)from + at);
        return;
    }
    if (half)
        for (; i < n; i++)
            to[i] = pe_f16_widen(((const uint16_t *)from)[at + i]);
    else
        for (; i < n; i++)
            to[i] = ((const float *)from)[at + i];
    for (; i < PE_BLOCK; i++)
        to[i] = 0.0f;
}

static void store(const pe_update_params *p, void *to, bool half, uint32_t at, uint32_t n, const float *from,
                  uint32_t step)
{
    float *y = to;
    uint16_t *y16 = to;
    if (!half && n == PE_BLOCK) {
        copy_block(y + at, from);
        return;
    }
    if (!half) {
        for (uint32_t i = 0; i < n; i++)
            y[at + i] = from[i];
        return;
    }
    pe_philox random = {{0}};
    for (uint32_t i = 0; i < n; i++) {
        if (p->stochastic && (i == 0 || (at + i) % 4 == 0))
            random = pe_philox_words(p->seed, p->stream, (at + i) / 4, step, PE_PHILOX_ROUNDING);
        y16[at + i] = p->stochastic ? round_stochastic(from[i], random.word[(at + i) % 4]) : pe_f16_round(from[i]);
    }
}

/* Where a result does not lie on what it follows, it starts as a copy of it. */
static void *follow(const pe_call *c, uint32_t from, uint32_t to)
{
    if (c->data[from] != c->data[to])
        __builtin_memmove(c->data[to], c->data[from], c->tensor[to]->bytes);
    return c->data[to];
}

typedef struct pe_rates {
    float lr, factor;
    float step_size, root; /* adam: lr and the root of v with their bias corrected */
} pe_rates;

typedef void pe_rule(const pe_update_params *p, const pe_rates *r, const float *d, float *w, float *m, float *v);

static void update(const pe_call *c, pe_rates r, pe_rule *rule)
{
    const pe_update_params *p = c->params;
    bool half_w = c->tensor[W]->dtype == PE_F16, half_g = c->tensor[G]->dtype == PE_F16;
    uint32_t step = pe_step_number(*(const float *)c->data[STEP]), n = pe_tensor_elements(c->tensor[G]);
    void *w = follow(c, W, c->inputs);
    float *m = c->inputs > M ? follow(c, M, c->inputs + 1u) : NULL,
          *v = c->inputs > V ? follow(c, V, c->inputs + 2u) : NULL;
    if (!pe_is_finite(r.factor))
        return;
    for (uint32_t i = 0; i < n; i += PE_BLOCK) {
        uint32_t count = n - i < PE_BLOCK ? n - i : PE_BLOCK;
        float bw[PE_BLOCK], d[PE_BLOCK], bm[PE_BLOCK], bv[PE_BLOCK];
        load(bw, w, half_w, p->start + i, count);
        load(d, c->data[G], half_g, i, count);
        for (uint32_t k = 0; k < PE_BLOCK; k++)
            d[k] = d[k] * r.factor;
        if (pe_is_finite(p->clip))
            for (uint32_t k = 0; k < PE_BLOCK; k++)
                d[k] = pe_clip_f32(d[k], -p->clip, p->clip);
        if (!p->decoupled && p->decay != 0.0f)
            for (uint32_t k = 0; k < PE_BLOCK; k++)
                d[k] = d[k] + p->decay * bw[k];
        if (m)
            load(bm, m, false, i, count);
        if (v)
            load(bv, v, false, i, count);
        rule(p, &r, d, bw, bm, bv);
        store(p, w, half_w, p->start + i, count, bw, step);
        if (m)
            store(p, m, false, i, count, bm, step);
        if (v)
            store(p, v, false, i, count, bv, step);
    }
}

static void sgd(const pe_update_params *p, const pe_rates *r, const float *d, float *w, float *m, float *v)
{
    (void)p, (void)m, (void)v;
    for (uint32_t k = 0; k < PE_BLOCK; k++)
        w[k] = w[k] - r->lr * d[k];
}

static void momentum(const pe_update_params *p, const pe_rates *r, const float *d, float *w, float *m, float *v)
{
    (void)v;
    for (uint32_t k = 0; k < PE_BLOCK; k++)
        m[k] = p->momentum * m[k] + d[k];
    if (p->nesterov)
        for (uint32_t k = 0; k < PE_BLOCK; k++)
            w[k] = w[k] - r->lr * (d[k] + p->momentum * m[k]);
    else
        for (uint32_t k = 0; k < PE_BLOCK; k++)
            w[k] = w[k] - r->lr * m[k];
}

static void adam(const pe_update_params *p, const pe_rates *r, const float *d, float *w, float *m, float *v)
{
    float kept = p->decoupled ? 1.0f - r->lr * p->decay : 1.0f;
    for (uint32_t k = 0; k < PE_BLOCK; k++) {
        m[k] = m[k] + p->rest_m * (d[k] - m[k]);
        v[k] = p->keep_v * v[k] + p->rest_v * d[k] * d[k];
        w[k] = kept * w[k] - r->step_size * (m[k] / (pe_sqrt_f32(v[k]) / r->root + p->epsilon));
    }
}

static pe_rates rates_of(const pe_call *c)
{
    return (pe_rates){.lr = *(const float *)c->data[LR], .factor = *(const float *)c->data[FACTOR]};
}

static void run_sgd(const pe_call *c)
{
    update(c, rates_of(c), sgd);
}

static void run_momentum(const pe_call *c)
{
    update(c, rates_of(c), momentum);
}

/* Kingma and Ba 2015; 1 - beta^t as -expm1(t log beta), which loses no digits. */
static void run_adam(const pe_call *c)
{
    const pe_update_params *p = c->params;
    pe_rates r = rates_of(c);
    float t = *(const float *)c->data[STEP];
    r.step_size = r.lr / -pe_expm1_f32(t * p->log_m);
    r.root = pe_sqrt_f32(-pe_expm1_f32(t * p->log_v));
    update(c, r, adam);
}

#define PE_UPDATE_DEF(op, KIND, moments, function) \
    const pe_op_def pe_op_def_##op = {             \
        .kind = PE_OP_##KIND,                      \
        .params_bytes = sizeof(pe_update_params),  \
        .min_inputs = 5 + moments,                 \
        .max_inputs = 5 + moments,                 \
        .outputs = 1 + moments,                    \
        .name = #op,                               \
        .check = check,                            \
        .run = function,                           \
    };

PE_UPDATE_DEF(sgd_update, SGD_UPDATE, 0, run_sgd)
PE_UPDATE_DEF(momentum_update, MOMENTUM_UPDATE, 1, run_momentum)
PE_UPDATE_DEF(adam_update, ADAM_UPDATE, 2, run_adam)
