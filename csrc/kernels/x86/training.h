#include "kernels/x86/f16.h"
#include "kernels/x86/pack_f32.h"
#include "ops/math_f32.h"

/* What a step of training does besides products, on floats and float16: clip_grad, bias_grad, sum_squares, the updates, and
 * casts between the two. */

static bool is_f16(const pe_tensor *t)
{
    return t->dtype == PE_F16;
}

/* clip_grad */

typedef struct clip {
    pe_place dy, y;
    size_t dx, n;
    bool is_f16, y_is_f16; /* is_f16: dy and dx */
    float min, max;
} clip;

static bool clip_takes(const pe_call *c, pe_layer_bytes *bytes)
{
    (void)c;
    bytes->packed = sizeof(clip);
    return true;
}

static void clip_pack(const pe_call *c, void *packed)
{
    const pe_clip_params *p = c->params;
    *(clip *)packed = (clip){.dy = pe_place_of(c, 0),
                             .y = pe_place_of(c, 1),
                             .dx = c->tensor[2]->offset,
                             .n = pe_tensor_elements(c->tensor[2]),
                             .is_f16 = is_f16(c->tensor[0]),
                             .y_is_f16 = is_f16(c->tensor[1]),
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
    const pe_f32v min = pe_f32v_all(l->min), max = pe_f32v_all(l->max);
    (void)work;
    for (size_t i = 0; i < l->n; i += PE_LANES) {
        const size_t n = l->n - i;
        const pe_f32v dx = inside(pe_floatv_load(dy, i, n, l->is_f16), pe_floatv_load(y, i, n, l->y_is_f16), min, max);
        pe_floatv_store(arena + l->dx, i, dx, n, l->is_f16);
    }
}

/* bias_grad */

typedef struct bias {
    pe_place dy, before;
    size_t db, rows, channels;
    bool has_before, dy_is_f16, db_is_f16;
} bias;

static bool bias_takes(const pe_call *c, pe_layer_bytes *bytes)
{
    (void)c;
    bytes->packed = sizeof(bias);
    return true;
}

static void bias_pack(const pe_call *c, void *packed)
{
    const pe_tensor *db = c->tensor[c->inputs];
    const size_t channels = (size_t)db->dims[0];
    const bool has_before = c->inputs > 1 && c->tensor[1];
    *(bias *)packed = (bias){.dy = pe_place_of(c, 0),
                             .before = pe_place_of(c, 1),
                             .db = db->offset,
                             .rows = pe_tensor_elements(c->tensor[0]) / channels,
                             .channels = channels,
                             .has_before = has_before,
                             .dy_is_f16 = is_f16(c->tensor[0]),
                             .db_is_f16 = is_f16(db)};
}

/* NR vectors of channels from `first` on, n of them or less; each lane has the sum of its channel. */
PE_INLINE void sum_rows(const bias *l, const float *dy, const float *before, size_t first, size_t n, void *db,
                        const int NR)
{
    pe_f32v sum[4];
    PE_FOR (i, NR)
        sum[i] = l->has_before ? pe_floatv_load(before, first + PE_LANES * i, n - PE_LANES * (size_t)i, false)
                               : pe_f32v_all(0);
    for (size_t row = l->rows, at = first; row; row--, at += l->channels)
        PE_FOR (i, NR)
            sum[i] = pe_f32v_add(sum[i], pe_floatv_load(dy, at + PE_LANES * i, n - PE_LANES * (size_t)i, l->dy_is_f16));
    PE_FOR (i, NR)
        pe_floatv_store(db, first + PE_LANES * i, sum[i], n - PE_LANES * (size_t)i, l->db_is_f16);
}

static void bias_run(const void *packed, uint8_t *arena, uint8_t *work)
{
    const bias *l = packed;
    const float *dy = pe_place_at(&l->dy, arena), *before = pe_place_at(&l->before, arena);
    size_t i = 0;
    (void)work;
    for (; i + 4 * PE_LANES <= l->channels; i += 4 * PE_LANES)
        sum_rows(l, dy, before, i, 4 * PE_LANES, arena + l->db, 4);
    for (; i < l->channels; i += PE_LANES)
        sum_rows(l, dy, before, i, l->channels - i, arena + l->db, 1);
}

/* sum_squares */

typedef struct squares {
    pe_place x, before;
    size_t y, n;
    bool has_before, is_f16;
} squares;

static bool squares_takes(const pe_call *c, pe_layer_bytes *bytes)
{
    (void)c;
    bytes->packed = sizeof(squares);
    return true;
}

static void squares_pack(const pe_call *c, void *packed)
{
    const bool has_before = c->inputs > 1 && c->tensor[1];
    *(squares *)packed = (squares){.x = pe_place_of(c, 0),
                                   .before = pe_place_of(c, 1),
                                   .y = c->tensor[c->inputs]->offset,
                                   .n = pe_tensor_elements(c->tensor[0]),
                                   .has_before = has_before,
                                   .is_f16 = is_f16(c->tensor[0])};
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
            const pe_f32v a = pe_floatv_load(x, i + PE_LANES * v, PE_LANES, l->is_f16);
            sum[v] = pe_f32v_add(sum[v], pe_f32v_mul(a, a));
        }
    PE_FOR (v, SQUARES / PE_LANES)
        pe_f32v_store(lane + PE_LANES * v, sum[v]);
    for (size_t j = 0; i + j < l->n; j++) {
        const float a = pe_float_at(x, (ptrdiff_t)(i + j), l->is_f16);
        lane[j] += a * a;
    }
    for (size_t width = SQUARES / 2; width; width /= 2)
        for (size_t j = 0; j < width; j++)
            lane[j] += lane[j + width];
    *(float *)(arena + l->y) = l->has_before ? *pe_place_at(&l->before, arena) + lane[0] : lane[0];
}

/* sgd_update, momentum_update, adam_update: of floats, by gradients of floats or float16 */

enum { W, G, LR, FACTOR, STEP, M, V };
typedef enum rule { SGD, MOMENTUM, ADAM } rule;

typedef struct update {
    pe_place w, g, lr, factor, step, m, v;
    size_t y, y_m, y_v, w_bytes, n; /* results in the arena; elements of g */
    bool g_is_f16;
    rule rule;
    pe_update_params p;
} update;

static bool update_takes(const pe_call *c, pe_layer_bytes *bytes)
{
    const pe_update_params *p = c->params;
    bytes->packed = sizeof(update);
    return !is_f16(c->tensor[W]) && p->clip > 0; /* of zeros, a clip gives the bound */
}

static void update_pack(const pe_call *c, void *packed)
{
    const rule rule = c->inputs > V ? ADAM : c->inputs > M ? MOMENTUM : SGD;
    *(update *)packed = (update){.w = pe_place_of(c, W),
                                 .g = pe_place_of(c, G),
                                 .lr = pe_place_of(c, LR),
                                 .factor = pe_place_of(c, FACTOR),
                                 .step = pe_place_of(c, STEP),
                                 .m = pe_place_of(c, M),
                                 .v = pe_place_of(c, V),
                                 .y = c->tensor[c->inputs]->offset,
                                 .y_m = rule != SGD ? c->tensor[c->inputs + 1]->offset : 0,
                                 .y_v = rule == ADAM ? c->tensor[c->inputs + 2]->offset : 0,
                                 .w_bytes = c->tensor[W]->bytes,
                                 .n = pe_tensor_elements(c->tensor[G]),
                                 .g_is_f16 = is_f16(c->tensor[G]),
                                 .rule = rule,
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

/* What an update reads and writes; size, root: of adam, as in ops/update.c. */
typedef struct steps {
    const float *g;
    float lr, factor, size, root;
    float *w, *m, *v;
} steps;

PE_INLINE void update_all(const update *l, const steps *s, const rule RULE)
{
    const pe_f32v lr = pe_f32v_all(s->lr), factor = pe_f32v_all(s->factor), decay = pe_f32v_all(l->p.decay);
    const pe_f32v least = pe_f32v_all(-l->p.clip), most = pe_f32v_all(l->p.clip), keep = pe_f32v_all(l->p.momentum);
    const pe_f32v rest_m = pe_f32v_all(l->p.rest_m), keep_v = pe_f32v_all(l->p.keep_v),
                  rest_v = pe_f32v_all(l->p.rest_v), epsilon = pe_f32v_all(l->p.epsilon);
    const pe_f32v size = pe_f32v_all(s->size), root = pe_f32v_all(s->root),
                  kept = pe_f32v_all(l->p.decoupled ? 1.0f - s->lr * l->p.decay : 1.0f);
    const bool decays = !l->p.decoupled && l->p.decay != 0.0f;
    for (size_t i = 0; i < l->n; i += PE_LANES) {
        const size_t n = l->n - i;
        pe_f32v d = pe_f32v_mul(pe_floatv_load(s->g, i, n, l->g_is_f16), factor), x = pe_floatv_load(s->w, i, n, false);
        d = pe_f32v_min(most, pe_f32v_max(least, d));
        if (decays)
            d = pe_f32v_add(d, pe_f32v_mul(decay, x));
        if (RULE == ADAM) {
            pe_f32v m = pe_floatv_load(s->m, i, n, false), v = pe_floatv_load(s->v, i, n, false);
            m = pe_f32v_add(m, pe_f32v_mul(rest_m, pe_f32v_sub(d, m)));
            v = pe_f32v_add(pe_f32v_mul(keep_v, v), pe_f32v_mul(pe_f32v_mul(rest_v, d), d));
            pe_floatv_store(s->m, i, m, n, false);
            pe_floatv_store(s->v, i, v, n, false);
            d = pe_f32v_div(m, pe_f32v_add(pe_f32v_div(pe_f32v_sqrt(v), root), epsilon));
            x = pe_f32v_sub(pe_f32v_mul(kept, x), pe_f32v_mul(size, d));
        } else {
            if (RULE == MOMENTUM) {
                const pe_f32v m = pe_f32v_add(pe_f32v_mul(keep, pe_floatv_load(s->m, i, n, false)), d);
                pe_floatv_store(s->m, i, m, n, false);
                d = l->p.nesterov ? pe_f32v_add(d, pe_f32v_mul(keep, m)) : m;
            }
            x = pe_f32v_sub(x, pe_f32v_mul(lr, d));
        }
        pe_floatv_store(s->w, i, x, n, false);
    }
}

static void update_run(const void *packed, uint8_t *arena, uint8_t *work)
{
    const update *l = packed;
    steps s = {
        .g = pe_place_at(&l->g, arena), .lr = *pe_place_at(&l->lr, arena), .factor = *pe_place_at(&l->factor, arena)};
    (void)work;
    s.w = follow(&l->w, arena, l->y, l->w_bytes) + l->p.start;
    if (l->rule != SGD)
        s.m = follow(&l->m, arena, l->y_m, l->n * sizeof(float));
    if (l->rule == ADAM) {
        const float t = *pe_place_at(&l->step, arena);
        s.v = follow(&l->v, arena, l->y_v, l->n * sizeof(float));
        s.size = s.lr / -pe_expm1_f32(t * l->p.log_m);
        s.root = pe_sqrt_f32(-pe_expm1_f32(t * l->p.log_v));
    }
    if (!__builtin_isfinite(s.factor))
        return;
    if (l->rule == ADAM)
        update_all(l, &s, ADAM);
    else if (l->rule == MOMENTUM)
        update_all(l, &s, MOMENTUM);
    else
        update_all(l, &s, SGD);
}

/* cast, between float32 and float16 */

typedef struct cast {
    pe_place x;
    size_t y, n;
    bool x_is_f16, y_is_f16;
} cast;

static bool cast_takes(const pe_call *c, pe_layer_bytes *bytes)
{
    const pe_cast_params *p = c->params;
    const uint8_t from = c->tensor[0]->dtype, to = c->tensor[1]->dtype;
    bytes->packed = sizeof(cast);
    return p->x_format == PE_FORMAT_NONE && p->y_format == PE_FORMAT_NONE &&
           ((from == PE_F32 && to == PE_F16) || (from == PE_F16 && to == PE_F32));
}

static void cast_pack(const pe_call *c, void *packed)
{
    *(cast *)packed = (cast){.x = pe_place_of(c, 0),
                             .y = c->tensor[1]->offset,
                             .n = pe_tensor_elements(c->tensor[1]),
                             .x_is_f16 = is_f16(c->tensor[0]),
                             .y_is_f16 = is_f16(c->tensor[1])};
}

static void cast_run(const void *packed, uint8_t *arena, uint8_t *work)
{
    const cast *l = packed;
    const float *x = pe_place_at(&l->x, arena);
    (void)work;
    for (size_t i = 0; i < l->n; i += PE_LANES)
        pe_floatv_store(arena + l->y, i, pe_floatv_load(x, i, l->n - i, l->x_is_f16), l->n - i, l->y_is_f16);
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
const pe_layer PE_LEVEL(pe_layer_adam_update) = {PE_OP_ADAM_UPDATE, PE_LEVEL_NAME(adam_update), update_takes,
                                                 update_pack, update_run};
const pe_layer PE_LEVEL(pe_layer_cast) = {PE_OP_CAST, PE_LEVEL_NAME(cast), cast_takes, cast_pack, cast_run};
