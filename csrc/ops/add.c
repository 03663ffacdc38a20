#include "check.h"
#include "kernels/f16.h"
#include "kernels/kernels.h"
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

/* TFLite's factor of the operand with the larger scale is one half, exactly. */
static bool is_half(int32_t multiplier, int32_t shift)
{
    return multiplier == 1 << 30 && shift == 0;
}

/* Whether row_s8 is right: operands stay below 2^30, so does a rounded product. */
static bool is_short(const pe_add_params *p)
{
    const bool half_a = is_half(p->a_multiplier, p->a_shift), half_b = is_half(p->b_multiplier, p->b_shift);
    return p->left_shift >= 1 && p->left_shift <= 20 && p->y_shift >= 1 &&
           ((half_a && (half_b || p->b_shift >= 1)) || (half_b && p->a_shift >= 1));
}

/* pe_requantize for shifts of 1 .. 31 and results far from the ends of int32. The first rounding is one bit of the low
 * word, the second adds a half less one of negative numbers (ops/requantize.h). */
static inline int32_t scaled(int32_t x, uint32_t twice, uint32_t shift, uint32_t half)
{
    const uint64_t product = (uint64_t)((int64_t)x * (int64_t)(uint64_t)twice);
    const uint32_t h = (uint32_t)(product >> 32) + ((uint32_t)product >> 31);
    return (int32_t)(h + (uint32_t)((int32_t)h >> 31) + half) >> shift;
}

static inline int32_t operand(int32_t x, uint32_t left, bool half, uint32_t twice, uint32_t shift, uint32_t add)
{
    return half ? (int32_t)((uint32_t)x << (left - 1)) : scaled((int32_t)((uint32_t)x << left), twice, shift, add);
}

/* half_a, half_b are known in each call. */
static inline void row_of(uint32_t n, const pe_add_params *p, const int8_t *a, uint32_t a_step, const int8_t *b,
                          uint32_t b_step, int8_t *y, bool half_a, bool half_b)
{
    const uint32_t left = (uint32_t)p->left_shift, twice_y = (uint32_t)p->y_multiplier << 1;
    const uint32_t twice_a = (uint32_t)p->a_multiplier << 1, twice_b = (uint32_t)p->b_multiplier << 1;
    const uint32_t shift_a = (uint32_t)p->a_shift, shift_b = (uint32_t)p->b_shift, shift_y = (uint32_t)p->y_shift;
    const uint32_t add_a = 1u << shift_a >> 1, add_b = 1u << shift_b >> 1, add_y = 1u << shift_y >> 1;
    const int32_t za = p->a_zero_point, zb = p->b_zero_point, zy = p->y_zero_point, min = p->y_min, max = p->y_max;
    for (const int8_t *end = y + n; y != end; a += a_step, b += b_step) {
        const int32_t sum = operand(*a - za, left, half_a, twice_a, shift_a, add_a) +
                            operand(*b - zb, left, half_b, twice_b, shift_b, add_b);
        *y++ = (int8_t)pe_clamp_s32(scaled(sum, twice_y, shift_y, add_y) + zy, min, max);
    }
}

/* Not inlined, for the registers' sake. */
static __attribute__((noinline)) void row_s8(uint32_t n, const pe_add_params *p, const int8_t *a, uint32_t a_step,
                                             const int8_t *b, uint32_t b_step, int8_t *y)
{
    const bool half_a = is_half(p->a_multiplier, p->a_shift), half_b = is_half(p->b_multiplier, p->b_shift);
    if (half_a && half_b)
        row_of(n, p, a, a_step, b, b_step, y, true, true);
    else if (half_a)
        row_of(n, p, a, a_step, b, b_step, y, true, false);
    else
        row_of(n, p, a, a_step, b, b_step, y, false, true);
}

static void run_s8(const pe_call *c)
{
    const pe_add_params *p = c->params;
    const int8_t *a = c->data[0], *b = c->data[1];
    int8_t *y = c->data[2];
    if (c->kernels->add_s8 && c->kernels->add_s8(c))
        return;
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

static pe_status check_float(const pe_call *c, uint8_t dtype, const char **text)
{
    const pe_add_params *p = c->params;
    pe_status status = check_shapes(c, dtype, text);
    if (status != PE_OK)
        return status;
    *text = "add: f_min, f_max";
    return pe_is_range_f32(p->f_min, p->f_max) ? PE_OK : PE_ERR_SHAPE;
}

static pe_status check_f32(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    return check_float(c, PE_F32, text);
}

static pe_status check_f16(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    return check_float(c, PE_F16, text);
}

static void run_f32(const pe_call *c)
{
    const pe_elementwise *by_vectors = c->kernels->elementwise;
    if (by_vectors && by_vectors->add_float(c))
        return;
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

/* A float has 24 >= 2 * 11 + 2 bits, so its rounding before that to float16 changes nothing. */
static void run_f16(const pe_call *c)
{
    const pe_elementwise *by_vectors = c->kernels->elementwise;
    if (by_vectors && by_vectors->add_float(c))
        return;
    const pe_add_params *p = c->params;
    const uint16_t *a = c->data[0], *b = c->data[1];
    uint16_t *y = c->data[2];
    pe_loops l = loops_of(c);
    uint32_t at = 0, bt = 0;
    do {
        for (uint32_t i = 0, ai = at, bi = bt; i < l.n[0]; i++, ai += l.a[0], bi += l.b[0])
            *y++ = pe_f16_round(pe_clip_f32(pe_f16_widen(a[ai]) + pe_f16_widen(b[bi]), p->f_min, p->f_max));
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

const pe_op_def pe_op_def_add_f16 = {
    .kind = PE_OP_ADD_F16,
    .params_bytes = sizeof(pe_add_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "add_f16",
    .check = check_f16,
    .run = run_f16,
};
