#include "update.h"
#include "kernels/bytes.h"
#include "philox.h"

/* sgd_update, momentum_update, adam_update: the next weights and moments of an optimizer (docs/arithmetic.md, "Optimizers").
 * w and g float32 or float16, each by itself; lr, factor and step float32[1]; m and v float32, of the size of g. Results may
 * be the memory of what they follow. Nothing changes if factor is not finite: the step is left out. g may be shorter than w:
 * elements start, start + 1 .. of w. */

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

typedef void pe_rule(const pe_update_params *p, const pe_update *u, const float *d, float *w, float *m, float *v);

static void update(const pe_call *c, pe_rule *rule)
{
    const pe_update_params *p = c->params;
    const pe_update u = pe_update_of(c);
    const uint32_t step = pe_step_number(*(const float *)c->data[STEP]);
    if (!pe_is_finite(u.factor))
        return;
    for (uint32_t i = 0; i < u.n; i += PE_BLOCK) {
        uint32_t count = u.n - i < PE_BLOCK ? u.n - i : PE_BLOCK;
        float bw[PE_BLOCK], d[PE_BLOCK], bm[PE_BLOCK], bv[PE_BLOCK];
        load(bw, u.w, u.w_is_f16, p->start + i, count);
        load(d, u.g, u.g_is_f16, i, count);
        for (uint32_t k = 0; k < PE_BLOCK; k++)
            d[k] = d[k] * u.factor;
        if (pe_is_finite(p->clip))
            for (uint32_t k = 0; k < PE_BLOCK; k++)
                d[k] = pe_clip_f32(d[k], -p->clip, p->clip);
        if (!p->decoupled && p->decay != 0.0f)
            for (uint32_t k = 0; k < PE_BLOCK; k++)
                d[k] = d[k] + p->decay * bw[k];
        if (u.m)
            load(bm, u.m, false, i, count);
        if (u.v)
            load(bv, u.v, false, i, count);
        rule(p, &u, d, bw, bm, bv);
        store(p, u.w, u.w_is_f16, p->start + i, count, bw, step);
        if (u.m)
            store(p, u.m, false, i, count, bm, step);
        if (u.v)
            store(p, u.v, false, i, count, bv, step);
    }
}

static void sgd(const pe_update_params *p, const pe_update *u, const float *d, float *w, float *m, float *v)
{
    (void)p, (void)m, (void)v;
    for (uint32_t k = 0; k < PE_BLOCK; k++)
        w[k] = w[k] - u->lr * d[k];
}

static void momentum(const pe_update_params *p, const pe_update *u, const float *d, float *w, float *m, float *v)
{
    (void)v;
    for (uint32_t k = 0; k < PE_BLOCK; k++)
        m[k] = p->momentum * m[k] + d[k];
    if (p->nesterov)
        for (uint32_t k = 0; k < PE_BLOCK; k++)
            w[k] = w[k] - u->lr * (d[k] + p->momentum * m[k]);
    else
        for (uint32_t k = 0; k < PE_BLOCK; k++)
            w[k] = w[k] - u->lr * m[k];
}

static void adam(const pe_update_params *p, const pe_update *u, const float *d, float *w, float *m, float *v)
{
    float kept = p->decoupled ? 1.0f - u->lr * p->decay : 1.0f;
    for (uint32_t k = 0; k < PE_BLOCK; k++) {
        m[k] = m[k] + p->rest_m * (d[k] - m[k]);
        v[k] = p->keep_v * v[k] + p->rest_v * d[k] * d[k];
        w[k] = kept * w[k] - u->step_size * (m[k] / (pe_sqrt_f32(v[k]) / u->root + p->epsilon));
    }
}

static void run_sgd(const pe_call *c)
{
    const pe_elementwise *by_vectors = c->kernels->elementwise;
    if (!by_vectors || !by_vectors->sgd_update(c))
        update(c, sgd);
}

static void run_momentum(const pe_call *c)
{
    const pe_elementwise *by_vectors = c->kernels->elementwise;
    if (!by_vectors || !by_vectors->momentum_update(c))
        update(c, momentum);
}

static void run_adam(const pe_call *c)
{
    const pe_elementwise *by_vectors = c->kernels->elementwise;
    if (!by_vectors || !by_vectors->adam_update(c))
        update(c, adam);
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
