#include "check.h"
#include "loops.h"
#include "ops.h"
#include "requantize.h"

/* add: y = clamp(a + b), NumPy broadcasting. y may be the memory of an operand that has y's shape. */

static pe_status check_shapes(const pe_call *c, uint8_t dtype, const char **text)
{
    const pe_tensor *a = c->tensor[0], *b = c->tensor[1], *y = c->tensor[2];
    *text = "add: dtypes";
    if (a->dtype != dtype || b->dtype != dtype || y->dtype != dtype)
        return PE_ERR_SHAPE;
    *text = "add: shapes that do not broadcast to the output's";
    if (y->rank != (a->rank > b->rank ? a->rank : b->rank))
        return PE_ERR_SHAPE;
    for (uint32_t k = 0; k < y->rank; k++) {
        uint32_t na = pe_dim_from_right(a, k), nb = pe_dim_from_right(b, k), n = pe_dim_from_right(y, k);
        if ((na != n && na != 1) || (nb != n && nb != 1) || (na != n && nb != n))
            return PE_ERR_SHAPE;
    }
    return PE_OK;
}

static pe_loops loops_of(const pe_call *c)
{
    pe_loops l = {0};
    uint32_t stride_a = 1, stride_b = 1;
    for (uint32_t k = 0; k < c->tensor[2]->rank; k++) {
        uint32_t na = pe_dim_from_right(c->tensor[0], k), nb = pe_dim_from_right(c->tensor[1], k);
        pe_loops_add(&l, na > nb ? na : nb, na == 1 ? 0 : stride_a, nb == 1 ? 0 : stride_b);
        stride_a *= na;
        stride_b *= nb;
    }
    pe_loops_end(&l);
    return l;
}

static pe_status check_s8(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_add_params *p = c->params;
    (void)scratch_bytes;
    pe_status status = check_shapes(c, PE_S8, text);
    if (status != PE_OK)
        return status;
    *text = "add_s8: params";
    /* 9 bits of difference and left_shift stay inside int32. */
    bool good = pe_is_s8(p->a_zero_point) && pe_is_s8(p->b_zero_point) && pe_is_s8(p->y_zero_point) &&
                p->left_shift >= 0 && p->left_shift <= 22 && pe_is_multiplier(p->a_multiplier, p->a_shift) &&
                pe_is_multiplier(p->b_multiplier, p->b_shift) && pe_is_multiplier(p->y_multiplier, p->y_shift) &&
                pe_is_range_s8(p->y_min, p->y_max);
    return good ? PE_OK : PE_ERR_SHAPE;
}

/* pe_requantize for shifts of 0 .. 31 and results far from the ends of int32, as check_s8 has them: `twice`, `half` and
 * `toward` are constants of a row. The first rounding is one bit of the low word, the second adds a half less one of
 * negative numbers (ops/requantize.h). */
typedef struct factor {
    uint32_t twice, shift, half;
    int32_t toward; /* -1, or 0 where the second rounding does nothing */
} factor;

static factor factor_of(int32_t multiplier, int32_t shift)
{
    return (factor){(uint32_t)multiplier << 1, (uint32_t)shift, shift ? 1u << (shift - 1) : 0, shift ? -1 : 0};
}

static inline int32_t scaled(int32_t x, factor f)
{
    const uint64_t product = (uint64_t)((int64_t)x * (int64_t)(uint64_t)f.twice);
    const uint32_t h = (uint32_t)(product >> 32) + ((uint32_t)product >> 31);
    return (int32_t)(h + (uint32_t)(((int32_t)h >> 31) & f.toward) + f.half) >> f.shift;
}

/* Whether scaled() is pe_requantize for all three factors: operands stay below 2^30, so does a rounded product. */
static bool is_short(const pe_add_params *p)
{
    return p->left_shift <= 20 && p->a_shift >= 0 && p->b_shift >= 0 && p->y_shift >= 0;
}

static void row_s8(uint32_t n, const pe_add_params *p, const int8_t *a, uint32_t a_step, const int8_t *b,
                   uint32_t b_step, int8_t *y)
{
    const factor fa = factor_of(p->a_multiplier, p->a_shift), fb = factor_of(p->b_multiplier, p->b_shift),
                 fy = factor_of(p->y_multiplier, p->y_shift);
    const int32_t za = p->a_zero_point, zb = p->b_zero_point, zy = p->y_zero_point, min = p->y_min, max = p->y_max;
    const uint32_t left = (uint32_t)p->left_shift;
    for (const int8_t *end = y + n; y != end; a += a_step, b += b_step) {
        const int32_t av = scaled((int32_t)((uint32_t)(*a - za) << left), fa);
        const int32_t bv = scaled((int32_t)((uint32_t)(*b - zb) << left), fb);
        *y++ = (int8_t)pe_clamp_s32(scaled(av + bv, fy) + zy, min, max);
    }
}

static void run_s8(const pe_call *c)
{
    const pe_add_params *p = c->params;
    const int8_t *a = c->data[0], *b = c->data[1];
    int8_t *y = c->data[2];
    const pe_output_s8 out = {p->y_zero_point, p->y_min, p->y_max};
    pe_loops l = loops_of(c);
    uint32_t at = 0, bt = 0;
    if (is_short(p)) {
        do {
            row_s8(l.n[0], p, a + at, l.a[0], b + bt, l.b[0], y);
            y += l.n[0];
        } while (pe_loops_next(&l, &at, &bt));
        return;
    }
    do {
        for (uint32_t i = 0, ai = at, bi = bt; i < l.n[0]; i++, ai += l.a[0], bi += l.b[0]) {
            int32_t av = pe_shift_left(a[ai] - p->a_zero_point, p->left_shift);
            int32_t bv = pe_shift_left(b[bi] - p->b_zero_point, p->left_shift);
            uint32_t sum = (uint32_t)pe_requantize(av, p->a_multiplier, p->a_shift) +
                           (uint32_t)pe_requantize(bv, p->b_multiplier, p->b_shift);
            *y++ = pe_requantize_s8(sum, p->y_multiplier, p->y_shift, &out);
        }
    } while (pe_loops_next(&l, &at, &bt));
}

static pe_status check_f32(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_add_params *p = c->params;
    (void)scratch_bytes;
    pe_status status = check_shapes(c, PE_F32, text);
    if (status != PE_OK)
        return status;
    *text = "add_f32: f_min, f_max";
    return pe_is_range_f32(p->f_min, p->f_max) ? PE_OK : PE_ERR_SHAPE;
}

static void run_f32(const pe_call *c)
{
    const pe_add_params *p = c->params;
    const float *a = c->data[0], *b = c->data[1];
    float *y = c->data[2];
    pe_loops l = loops_of(c);
    uint32_t at = 0, bt = 0;
    do {
        for (uint32_t i = 0, ai = at, bi = bt; i < l.n[0]; i++, ai += l.a[0], bi += l.b[0])
            *y++ = pe_clip_f32(a[ai] + b[bi], p->f_min, p->f_max);
    } while (pe_loops_next(&l, &at, &bt));
}

const pe_op_def pe_op_def_add_s8 = {
    .kind = PE_OP_ADD_S8,
    .params_bytes = sizeof(pe_add_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "add_s8",
    .check = check_s8,
    .run = run_s8,
};

const pe_op_def pe_op_def_add_f32 = {
    .kind = PE_OP_ADD_F32,
    .params_bytes = sizeof(pe_add_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "add_f32",
    .check = check_f32,
    .run = run_f32,
};
