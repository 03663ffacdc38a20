#include "kernels/layers.h"
#include "kernels/neon/neon.h"

/* add_s8 of two tensors of one shape, 16 elements at a time, in the steps of its specification.
 *
 * The operand of the larger scale has the factor 1/2, so its requantization is a shift; a and b change places to make it a. */

typedef enum operand_form {
    HALF,  /* x * 2^left * 1/2, exactly */
    RIGHT, /* shifts right by 1 or more */
    ANY,
} operand_form;

/* ((x - zero) << (low + high)) * multiplier, shifted right. low + high is left_shift and what the operand is shifted left
 * before its multiplication; for HALF it is 1 less, for the factor. */
typedef struct operand {
    size_t at; /* in the arena */
    operand_form form;
    int8_t zero;
    int16_t low;  /* x - zero has 9 bits: 7 more fit into int16 */
    int16_t high; /* 2^high */
    int32_t multiplier, left, right;
} operand;

typedef struct layer {
    operand a, b;
    size_t y, n;
    pe_neon_form form;
    int32_t multiplier, left, right;
    pe_output_s8 out;
} layer;

/* b's share of the sum in four vectors. */
PE_INLINE void requantized(const operand *o, int8x16_t x, int32x4_t r[4], const operand_form form)
{
    const int8x8_t zero = vdup_n_s8(o->zero);
    int16x8_t low = vsubl_s8(vget_low_s8(x), zero), high = vsubl_s8(vget_high_s8(x), zero);
    if (form == ANY) {
        const int32x4_t left = vdupq_n_s32(o->left), right = vdupq_n_s32(o->right);
        const int32x4_t multiplier = vdupq_n_s32(o->multiplier);
        r[0] = vmovl_s16(vget_low_s16(low));
        r[1] = vmovl_high_s16(low);
        r[2] = vmovl_s16(vget_low_s16(high));
        r[3] = vmovl_high_s16(high);
        PE_FOR (i, 4)
            r[i] = pe_neon_requantize_by(r[i], multiplier, left, right, PE_NEON_ANY);
        return;
    }
    low = vshlq_s16(low, vdupq_n_s16(o->low));
    high = vshlq_s16(high, vdupq_n_s16(o->low));
    const int16x8_t factor = vdupq_n_s16(o->high);
    r[0] = vmull_s16(vget_low_s16(low), vget_low_s16(factor));
    r[1] = vmull_high_s16(low, factor);
    r[2] = vmull_s16(vget_low_s16(high), vget_low_s16(factor));
    r[3] = vmull_high_s16(high, factor);
    if (form == RIGHT)
        PE_FOR (i, 4)
            r[i] = pe_neon_requantize_by(r[i], vdupq_n_s32(o->multiplier), r[i], vdupq_n_s32(o->right), PE_NEON_RIGHT);
}

/* r += a's share. */
PE_INLINE void add_half(const operand *o, int8x16_t x, int32x4_t r[4])
{
    const int8x8_t zero = vdup_n_s8(o->zero);
    const int16x8_t shift = vdupq_n_s16(o->low), factor = vdupq_n_s16(o->high);
    const int16x8_t low = vshlq_s16(vsubl_s8(vget_low_s8(x), zero), shift);
    const int16x8_t high = vshlq_s16(vsubl_s8(vget_high_s8(x), zero), shift);
    r[0] = vmlal_s16(r[0], vget_low_s16(low), vget_low_s16(factor));
    r[1] = vmlal_high_s16(r[1], low, factor);
    r[2] = vmlal_s16(r[2], vget_low_s16(high), vget_low_s16(factor));
    r[3] = vmlal_high_s16(r[3], high, factor);
}

PE_INLINE int8x16_t sum16(const layer *l, int8x16_t a, int8x16_t b, const pe_neon_clamp *clamp, const operand_form fa,
                          const operand_form fb, const pe_neon_form fy)
{
    int32x4_t r[4], s[4];
    requantized(&l->b, b, r, fb);
    if (fa == HALF) {
        add_half(&l->a, a, r);
    } else {
        requantized(&l->a, a, s, fa);
        PE_FOR (i, 4)
            r[i] = vaddq_s32(r[i], s[i]);
    }
    PE_FOR (i, 4)
        r[i] = pe_neon_requantize_by(r[i], vdupq_n_s32(l->multiplier), vdupq_n_s32(l->left), vdupq_n_s32(l->right), fy);
    return pe_neon_output16(r, clamp, fy);
}

/* y may be a or b: a block is read before it is written. */
PE_INLINE void run_as(const layer *packed, uint8_t *arena, const operand_form fa, const operand_form fb,
                      const pe_neon_form fy)
{
    const layer copy = *packed, *l = &copy; /* one that y cannot be */
    const pe_neon_clamp clamp = pe_neon_clamp_of(&l->out);
    const int8_t *a = (const int8_t *)arena + l->a.at, *b = (const int8_t *)arena + l->b.at;
    int8_t *y = (int8_t *)arena + l->y;
    size_t n = l->n;
    for (; n >= 16; n -= 16, a += 16, b += 16, y += 16)
        vst1q_s8(y, sum16(l, vld1q_s8(a), vld1q_s8(b), &clamp, fa, fb, fy));
    if (n) {
        int8_t rest[2][16] = {0};
        __builtin_memcpy(rest[0], a, n);
        __builtin_memcpy(rest[1], b, n);
        const int8x16_t last = sum16(l, vld1q_s8(rest[0]), vld1q_s8(rest[1]), &clamp, fa, fb, fy);
        pe_neon_store_part(y, 0, &last, 1, n);
    }
}

PE_INLINE void run_half(const layer *l, uint8_t *arena, const operand_form fb)
{
    switch (l->form) {
    case PE_NEON_UNSIGNED: run_as(l, arena, HALF, fb, PE_NEON_UNSIGNED); break;
    case PE_NEON_NONNEGATIVE: run_as(l, arena, HALF, fb, PE_NEON_NONNEGATIVE); break;
    case PE_NEON_RIGHT: run_as(l, arena, HALF, fb, PE_NEON_RIGHT); break;
    default: run_as(l, arena, HALF, fb, PE_NEON_ANY);
    }
}

static void run(const void *packed, uint8_t *arena, uint8_t *work)
{
    const layer *l = packed;
    (void)work;
    if (l->a.form == HALF && l->b.form == HALF)
        run_half(l, arena, HALF);
    else if (l->a.form == HALF && l->b.form == RIGHT)
        run_half(l, arena, RIGHT);
    else
        run_as(l, arena, ANY, ANY, PE_NEON_ANY);
}

static operand operand_of(const pe_tensor *t, int32_t zero, int32_t multiplier, int32_t shift, int32_t left_shift)
{
    const int32_t more = shift < 0 ? (int32_t)((0u - (uint32_t)shift) & 31) : 0;
    operand o = {.at = t->offset,
                 .form = ANY,
                 .zero = (int8_t)zero,
                 .multiplier = multiplier & INT32_MAX,
                 .left = left_shift + more,
                 .right = shift > 0 ? -(shift & 31) : 0};
    if (o.multiplier == 1 << 30 && shift == 0 && left_shift > 0)
        o.form = HALF;
    else if (o.right < 0)
        o.form = RIGHT;
    const int32_t both = o.form == HALF ? left_shift - 1 : left_shift;
    if (both > 21)
        o.form = ANY;
    if (o.form != ANY) {
        o.low = (int16_t)(both > 14 ? both - 14 : 0);
        o.high = (int16_t)(1 << (both - o.low));
    }
    return o;
}

static bool takes(const pe_call *c, pe_layer_bytes *bytes)
{
    const pe_tensor *a = c->tensor[0], *b = c->tensor[1], *y = c->tensor[2];
    bytes->packed = sizeof(layer);
    return pe_in_arena(a) && pe_in_arena(b) && a->bytes == y->bytes && b->bytes == y->bytes;
}

static void pack(const pe_call *c, void *packed)
{
    const pe_add_params *p = c->params;
    const pe_channel y = {.a = p->y_multiplier, .b = p->y_shift};
    const pe_output_s8 out = {p->y_zero_point, p->y_min, p->y_max};
    pe_neon_rq q;
    pe_neon_rq_set(&q, 0, &y);
    *(layer *)packed = (layer){
        .a = operand_of(c->tensor[0], p->a_zero_point, p->a_multiplier, p->a_shift, p->left_shift),
        .b = operand_of(c->tensor[1], p->b_zero_point, p->b_multiplier, p->b_shift, p->left_shift),
        .y = c->tensor[2]->offset,
        .n = c->tensor[2]->bytes,
        .form = pe_neon_form_of(&y, 1, &out),
        .multiplier = q.multiplier[0],
        .left = q.left[0],
        .right = q.right[0],
        .out = out,
    };
    layer *l = packed;
    if (l->b.form == HALF) {
        const operand a = l->a;
        l->a = l->b;
        l->b = a;
    }
}

const pe_layer pe_layer_add_s8__neon = {PE_OP_ADD_S8, "add_s8__neon", takes, pack, run};
