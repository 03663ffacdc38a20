#include "kernels/x86/pack_f32.h"

/* What a step of training does besides products, all of it float32: clip_grad, bias_grad, sum_squares, sgd_update and
 * momentum_update. */

/* The first n tensors of a call are there and float32. */
static bool are_f32(const pe_call *c, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!c->tensor[i] || c->tensor[i]->dtype != PE_F32)
            return false;
    return true;
}

/* Whole vectors, and the rest. */
PE_INLINE pe_f32v load(const float *p, size_t n)
{
    return n >= PE_LANES ? pe_f32v_load(p) : pe_f32v_load_first(p, n);
}

PE_INLINE void store(float *p, pe_f32v x, size_t n)
{
    if (n >= PE_LANES)
        pe_f32v_store(p, x);
    else
        pe_f32v_store_first(p, x, n);
}

/* clip_grad */

typedef struct clip {
    pe_place dy, y;
    size_t dx, n;
    float min, max;
} clip;

static bool clip_takes(const pe_call *c, pe_layer_bytes *bytes)
{
    bytes->packed = sizeof(clip);
    return are_f32(c, 3);
}

static void clip_pack(const pe_call *c, void *packed)
{
    const pe_clip_params *p = c->params;
    *(clip *)packed = (clip){.dy = pe_place_of(c, 0),
                             .y = pe_place_of(c, 1),
                             .dx = c->tensor[2]->offset,
                             .n = c->tensor[2]->bytes / sizeof(float),
                             .min = p->f_min,
                             .max = p->f_max};
}

/* dy where min < y < max, else +0. */
PE_INLINE pe_f32v inside(pe_f32v dy, pe_f32v y, pe_f32v min, pe_f32v max)
{
#ifdef __AVX512F__
    const __mmask16 above = _mm512_cmp_ps_mask(min, y, _CMP_LT_OQ);
    return _mm512_maskz_mov_ps(_mm512_mask_cmp_ps_mask(above, y, max, _CMP_LT_OQ), dy);
#else
    return _mm256_and_ps(dy, _mm256_and_ps(_mm256_cmp_ps(min, y, _CMP_LT_OQ), _mm256_cmp_ps(y, max, _CMP_LT_OQ)));
#endif
}

static void clip_run(const void *packed, uint8_t *arena, uint8_t *work)
{
    const clip *l = packed;
    const float *dy = pe_place_at(&l->dy, arena), *y = pe_place_at(&l->y, arena);
    float *dx = (float *)(arena + l->dx);
    const pe_f32v min = pe_f32v_all(l->min), max = pe_f32v_all(l->max);
    (void)work;
    for (size_t i = 0; i < l->n; i += PE_LANES) {
        const size_t n = l->n - i;
        store(dx + i, inside(load(dy + i, n), load(y + i, n), min, max), n);
    }
}

/* bias_grad */

typedef struct bias {
    pe_place dy;
    size_t db, rows, channels;
} bias;

static bool bias_takes(const pe_call *c, pe_layer_bytes *bytes)
{
    bytes->packed = sizeof(bias);
    return are_f32(c, 2);
}

static void bias_pack(const pe_call *c, void *packed)
{
    const size_t channels = (size_t)c->tensor[1]->dims[0];
    *(bias *)packed =
        (bias){pe_place_of(c, 0), c->tensor[1]->offset, pe_tensor_elements(c->tensor[0]) / channels, channels};
}

/* NR vectors of channels, at most n of them; each lane has the sum of its channel. */
PE_INLINE void sum_rows(const float *dy, size_t rows, size_t channels, size_t n, float *db, const int NR)
{
    pe_f32v sum[4];
    PE_FOR (i, NR)
        sum[i] = pe_f32v_all(0);
    for (; rows; rows--, dy += channels)
        PE_FOR (i, NR)
            sum[i] = pe_f32v_add(sum[i], load(dy + PE_LANES * i, n - PE_LANES * (size_t)i));
    PE_FOR (i, NR)
        store(db + PE_LANES * i, sum[i], n - PE_LANES * (size_t)i);
}

static void bias_run(const void *packed, uint8_t *arena, uint8_t *work)
{
    const bias *l = packed;
    const float *dy = pe_place_at(&l->dy, arena);
    float *db = (float *)(arena + l->db);
    size_t i = 0;
    (void)work;
    for (; i + 4 * PE_LANES <= l->channels; i += 4 * PE_LANES)
        sum_rows(dy + i, l->rows, l->channels, 4 * PE_LANES, db + i, 4);
    for (; i < l->channels; i += PE_LANES)
        sum_rows(dy + i, l->rows, l->channels, l->channels - i, db + i, 1);
}

/* sum_squares */

typedef struct squares {
    pe_place x, before;
    size_t y, n;
    bool has_before;
} squares;

static bool squares_takes(const pe_call *c, pe_layer_bytes *bytes)
{
    bytes->packed = sizeof(squares);
    return are_f32(c, 1);
}

static void squares_pack(const pe_call *c, void *packed)
{
    const bool has_before = c->inputs > 1 && c->tensor[1];
    *(squares *)packed = (squares){.x = pe_place_of(c, 0),
                                   .before = pe_place_of(c, 1),
                                   .y = c->tensor[c->inputs]->offset,
                                   .n = c->tensor[0]->bytes / sizeof(float),
                                   .has_before = has_before};
}

enum { SQUARES = 16 }; /* sums, of which docs/arithmetic.md speaks */

static void squares_run(const void *packed, uint8_t *arena, uint8_t *work)
{
    const squares *l = packed;
    const float *x = pe_place_at(&l->x, arena);
    pe_f32v sum[SQUARES / PE_LANES];
    float lane[SQUARES];
    (void)work;
    PE_FOR (v, SQUARES / PE_LANES)
        sum[v] = pe_f32v_all(0);
    size_t i = 0;
    for (; i + SQUARES <= l->n; i += SQUARES)
        PE_FOR (v, SQUARES / PE_LANES) {
            const pe_f32v a = pe_f32v_load(x + i + PE_LANES * v);
            sum[v] = pe_f32v_add(sum[v], pe_f32v_mul(a, a));
        }
    PE_FOR (v, SQUARES / PE_LANES)
        pe_f32v_store(lane + PE_LANES * v, sum[v]);
    for (size_t j = 0; i + j < l->n; j++)
        lane[j] += x[i + j] * x[i + j];
    for (size_t width = SQUARES / 2; width; width /= 2)
        for (size_t j = 0; j < width; j++)
            lane[j] += lane[j + width];
    *(float *)(arena + l->y) = l->has_before ? *pe_place_at(&l->before, arena) + lane[0] : lane[0];
}

/* sgd_update, momentum_update */

enum { W, G, LR, FACTOR, STEP, M };

typedef struct update {
    pe_place w, g, lr, factor, m;
    size_t y, y_m, w_bytes, n; /* results in the arena; elements of g */
    bool has_m;
    pe_update_params p;
} update;

static bool update_takes(const pe_call *c, pe_layer_bytes *bytes)
{
    const pe_update_params *p = c->params;
    bytes->packed = sizeof(update);
    return are_f32(c, c->inputs + c->outputs) && p->clip > 0; /* of zeros, a clip gives the bound */
}

static void update_pack(const pe_call *c, void *packed)
{
    const bool has_m = c->inputs > M;
    *(update *)packed = (update){.w = pe_place_of(c, W),
                                 .g = pe_place_of(c, G),
                                 .lr = pe_place_of(c, LR),
                                 .factor = pe_place_of(c, FACTOR),
                                 .m = pe_place_of(c, M),
                                 .y = c->tensor[c->inputs]->offset,
                                 .y_m = has_m ? c->tensor[c->inputs + 1]->offset : 0,
                                 .w_bytes = c->tensor[W]->bytes,
                                 .n = c->tensor[G]->bytes / sizeof(float),
                                 .has_m = has_m,
                                 .p = *(const pe_update_params *)c->params};
}

/* A result that doesn't lie on what it follows starts as a copy of it. */
static float *follow(const pe_place *from, uint8_t *arena, size_t to, size_t bytes)
{
    float *y = (float *)(arena + to);
    const float *x = pe_place_at(from, arena);
    if (x != y)
        __builtin_memmove(y, x, bytes);
    return y;
}

PE_INLINE void update_all(const update *l, const float *g, float lr_, float factor_, float *w, float *m,
                          const bool MOMENTUM)
{
    const pe_f32v lr = pe_f32v_all(lr_), factor = pe_f32v_all(factor_), decay = pe_f32v_all(l->p.decay);
    const pe_f32v least = pe_f32v_all(-l->p.clip), most = pe_f32v_all(l->p.clip), keep = pe_f32v_all(l->p.momentum);
    const bool decays = !l->p.decoupled && l->p.decay != 0.0f;
    for (size_t i = 0; i < l->n; i += PE_LANES) {
        const size_t n = l->n - i;
        pe_f32v d = pe_f32v_mul(load(g + i, n), factor), x = load(w + i, n);
        d = pe_f32v_min(most, pe_f32v_max(least, d));
        if (decays)
            d = pe_f32v_add(d, pe_f32v_mul(decay, x));
        if (MOMENTUM) {
            const pe_f32v next = pe_f32v_add(pe_f32v_mul(keep, load(m + i, n)), d);
            store(m + i, next, n);
            d = l->p.nesterov ? pe_f32v_add(d, pe_f32v_mul(keep, next)) : next;
        }
        store(w + i, pe_f32v_sub(x, pe_f32v_mul(lr, d)), n);
    }
}

static void update_run(const void *packed, uint8_t *arena, uint8_t *work)
{
    const update *l = packed;
    const float *g = pe_place_at(&l->g, arena), lr = *pe_place_at(&l->lr, arena),
                factor = *pe_place_at(&l->factor, arena);
    float *w = follow(&l->w, arena, l->y, l->w_bytes);
    float *m = l->has_m ? follow(&l->m, arena, l->y_m, l->n * sizeof(float)) : NULL;
    (void)work;
    if (!__builtin_isfinite(factor))
        return;
    if (m)
        update_all(l, g, lr, factor, w + l->p.start, m, true);
    else
        update_all(l, g, lr, factor, w + l->p.start, NULL, false);
}

const pe_layer PE_LEVEL(pe_layer_clip_grad) = {PE_OP_CLIP_GRAD, PE_LEVEL_NAME(clip_grad), clip_takes, clip_pack,
                                               clip_run};
const pe_layer PE_LEVEL(pe_layer_bias_grad) = {PE_OP_BIAS_GRAD, PE_LEVEL_NAME(bias_grad), bias_takes, bias_pack,
                                               bias_run};
const pe_layer PE_LEVEL(pe_layer_sum_squares) = {PE_OP_SUM_SQUARES, PE_LEVEL_NAME(sum_squares), squares_takes,
                                                 squares_pack, squares_run};
const pe_layer PE_LEVEL(pe_layer_sgd_update) = {PE_OP_SGD_UPDATE, PE_LEVEL_NAME(sgd_update), update_takes, update_pack,
                                                update_run};
const pe_layer PE_LEVEL(pe_layer_momentum_update) = {PE_OP_MOMENTUM_UPDATE, PE_LEVEL_NAME(momentum_update),
                                                     update_takes, update_pack, update_run};
