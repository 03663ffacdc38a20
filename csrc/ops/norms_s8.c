#include "check.h"
#include "fixed.h"
#include "ops.h"

/* l2_norm_s8 and log_softmax_s8 over the last axis, in gemmlowp's fixed point as TFLM (docs/arithmetic.md, "Norms of
 * int8"). y may be x's memory: a row is read before it is written, but for its elements in place. */

static pe_status check_shapes(const pe_call *c, const char **text)
{
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    *text = "norm of int8: x and y differ, or are of another dtype, or have no axis";
    if (x->dtype != PE_S8 || y->dtype != PE_S8 || x->rank != y->rank || x->rank == 0)
        return PE_ERR_SHAPE;
    for (uint32_t i = 0; i < x->rank; i++) {
        if (x->dims[i] != y->dims[i])
            return PE_ERR_SHAPE;
    }
    return PE_OK;
}

/* 1 / sqrt(n) as a factor multiplier * 2^-31 * 2^-shift; returns the shift. Five Newton steps on n as a number in [1, 4)
 * with 3 integer bits; 0, and what has wrapped below 0, counts as 1. */
static int32_t inverse_sqrt(int32_t n, int32_t *multiplier)
{
    const int32_t half_sqrt_2 = 1518500250, three_halves = 3 << 27;
    *multiplier = INT32_MAX;
    if (n <= 1)
        return 0;
    int32_t shift = 11;
    for (; n >= 1 << 29; n /= 4)
        shift++;
    int32_t pairs = (pe_leading_zeros((uint32_t)n) - 1) / 2 - 1;
    int32_t half = pe_rdbpot((n << 2 * pairs) >> 1, 1), x = 1 << 28;
    shift -= pairs;
    for (int i = 0; i < 5; i++) {
        int32_t cube = pe_shift_left_saturated(pe_srdhm(pe_srdhm(x, x), x), 6);
        int32_t error = (int32_t)((uint32_t)pe_srdhm(three_halves, x) - (uint32_t)pe_srdhm(half, cube));
        x = pe_shift_left_saturated(error, 3);
    }
    *multiplier = pe_srdhm(x, half_sqrt_2);
    if (shift >= 0)
        return shift;
    *multiplier = pe_shift_left(*multiplier, -shift);
    return 0;
}

static pe_status check_l2(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    if (check_shapes(c, text) != PE_OK)
        return PE_ERR_SHAPE;
    *text = "l2_norm_s8: params";
    return pe_is_s8(((const pe_l2_norm_params *)c->params)->x_zero_point) ? PE_OK : PE_ERR_SHAPE;
}

static void run_l2(const pe_call *c)
{
    const int32_t zero = ((const pe_l2_norm_params *)c->params)->x_zero_point;
    const pe_output_s8 out = {0, -128, 127};
    const pe_tensor *t = c->tensor[0];
    const uint32_t n = (uint32_t)t->dims[t->rank - 1];
    const int8_t *x = c->data[0];
    int8_t *y = c->data[1];
    for (uint32_t row = 0; row < t->bytes; row += n) {
        uint32_t sum = 0;
        for (uint32_t i = row; i < row + n; i++)
            sum += (uint32_t)((x[i] - zero) * (x[i] - zero));
        int32_t multiplier, shift = inverse_sqrt((int32_t)sum, &multiplier) - 7; /* in steps of 1/128 */
        for (uint32_t i = row; i < row + n; i++)
            y[i] = pe_requantize_s8((uint32_t)(x[i] - zero), multiplier, shift, &out);
    }
}

/* ln x for x >= 1, Q12.19 to Q5.26: x is r * 2^n with r around 2^-1/4, and a rational function gives ln r. */
static int32_t log_of(int32_t x)
{
    const int32_t ln_2 = 1488522236, root4_half = 1805811301, root_half = 1518500250; /* Q0.31 */
    const int32_t alpha_n = 117049297, alpha_d = 127690142, alpha_i = 1057819769, alpha_f = 638450708;
    const int32_t quarter = 1 << 23, unit = 1 << 25; /* Q6.25 */
    int32_t zeros_a = pe_leading_zeros((uint32_t)x);
    int32_t r_a = pe_shift_left_saturated(pe_srdhm(x << (zeros_a - 1), root_half), 1);
    int32_t n_a = (12 - zeros_a) * unit + quarter;
    int32_t zeros_b = pe_leading_zeros((uint32_t)pe_srdhm(x, root_half)) - 1;
    int32_t r_b = pe_shift_left_saturated(x, zeros_b);
    int32_t n_b = (12 - zeros_b) * unit - quarter;
    int32_t r = r_a < r_b ? r_a : r_b, n = n_a > n_b ? n_a : n_b;

    int32_t p = (int32_t)(((int64_t)r + root4_half + 1) / 2);
    int32_t q = pe_shift_left((int32_t)((uint32_t)r - (uint32_t)root4_half), 1), q2 = pe_srdhm(q, q);
    int32_t top = pe_add_wrapped(pe_srdhm(q, r), pe_srdhm(pe_srdhm(q, q2), alpha_n));
    int32_t sum = pe_add_wrapped(pe_add_wrapped(alpha_i, q), pe_srdhm(alpha_d, q2));
    int32_t bottom = pe_add_wrapped(pe_srdhm(p, sum), pe_srdhm(alpha_f, q)); /* less 1 */
    int32_t ln_r = pe_srdhm(pe_rdbpot(top, 6), pe_reciprocal(bottom));
    return pe_shift_left_saturated(pe_add_wrapped(pe_srdhm(n, ln_2), ln_r), 1);
}

static pe_status check_log_softmax(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_log_softmax_params *p = c->params;
    (void)scratch_bytes;
    if (check_shapes(c, text) != PE_OK)
        return PE_ERR_SHAPE;
    *text = "log_softmax_s8: params";
    return pe_is_multiplier(p->multiplier, p->shift) && pe_is_multiplier(p->back_multiplier, p->back_shift) &&
                   p->diff_min > INT32_MIN && p->diff_min <= 0
               ? PE_OK
               : PE_ERR_SHAPE;
}

static void log_softmax_row(const pe_log_softmax_params *p, const int8_t *x, int8_t *y, uint32_t n)
{
    int32_t max = -128, sum = 0; /* Q12.19 */
    for (uint32_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (uint32_t i = 0; i < n; i++) {
        int32_t diff = x[i] - max;
        if (diff < p->diff_min)
            continue;
        int32_t e = pe_rdbpot(pe_exp_negative(pe_requantize(diff, p->multiplier, p->shift)), 12);
        sum = e > INT32_MAX - sum ? INT32_MAX : sum + e;
    }
    int32_t log_sum = log_of(sum);
    /* Differences below would not fit into Q5.26 once log_sum is taken off. */
    int32_t least = pe_requantize(pe_add_wrapped(log_sum, INT32_MIN), p->back_multiplier, p->back_shift);
    least = least > p->diff_min - 1 ? least : p->diff_min - 1;
    for (uint32_t i = 0; i < n; i++) {
        int32_t diff = x[i] - max, v = -128;
        if (diff > least) {
            int32_t log = (int32_t)((uint32_t)pe_requantize(diff, p->multiplier, p->shift) - (uint32_t)log_sum);
            v = pe_clamp_s32(pe_rdbpot(log, 22) + 127, -128, 127); /* Q5.26 to steps of 1/16 */
        }
        y[i] = (int8_t)v;
    }
}

static void run_log_softmax(const pe_call *c)
{
    const pe_tensor *x = c->tensor[0];
    uint32_t n = (uint32_t)x->dims[x->rank - 1];
    for (uint32_t i = 0; i < x->bytes; i += n)
        log_softmax_row(c->params, (const int8_t *)c->data[0] + i, (int8_t *)c->data[1] + i, n);
}

const pe_op_def pe_op_def_l2_norm_s8 = {
    .kind = PE_OP_L2_NORM_S8,
    .params_bytes = sizeof(pe_l2_norm_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "l2_norm_s8",
    .check = check_l2,
    .run = run_l2,
};

const pe_op_def pe_op_def_log_softmax_s8 = {
    .kind = PE_OP_LOG_SOFTMAX_S8,
    .params_bytes = sizeof(pe_log_softmax_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "log_softmax_s8",
    .check = check_log_softmax,
    .run = run_log_softmax,
};
