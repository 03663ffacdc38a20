#include "check.h"
#include "ops.h"
#include "s16.h"

/* softmax of int16 over the last axis, as TFLM and LiteRT's reference kernel: exp and 1 / (1 + x) from tables that the
 * plan holds (pe_lookup_s16). y has scale 1/32768 and may be x's memory. */

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_softmax_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *y = c->tensor[3];
    (void)scratch_bytes;
    *text = "softmax_s16: x and y differ, are not int16, or have no axis";
    if (x->dtype != PE_S16 || y->dtype != PE_S16 || x->rank != y->rank || x->rank == 0)
        return PE_ERR_SHAPE;
    for (uint32_t i = 0; i < x->rank; i++) {
        if (x->dims[i] != y->dims[i])
            return PE_ERR_SHAPE;
    }
    *text = "softmax_s16: the tables are not int16 [513], or params";
    for (uint32_t i = 1; i < 3; i++) {
        if (c->tensor[i]->dtype != PE_S16 || pe_tensor_elements(c->tensor[i]) != 513)
            return PE_ERR_SHAPE;
    }
    return pe_is_multiplier(p->multiplier, p->shift) ? PE_OK : PE_ERR_SHAPE;
}

static void row(const pe_softmax_params *p, const int16_t *exps, const int16_t *reciprocals, const int16_t *x,
                int16_t *y, uint32_t n)
{
    int32_t max = INT16_MIN;
    int64_t total = 0; /* Q.15 */
    for (uint32_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (uint32_t i = 0; i < n; i++) {
        int32_t d = pe_requantize(x[i] - max, p->multiplier, p->shift); /* 0 .. -10 as 0 .. -65535 */
        y[i] = pe_lookup_s16(exps, pe_clamp_s32(pe_clamp_s32(d, -65535, 0) + 32767, INT16_MIN, INT16_MAX));
        total += y[i];
    }
    /* A sum in 1 .. 2^31 - 1, as every sane table gives for rows of less than 2^16. */
    uint32_t sum = (uint32_t)(total < 1 ? 1 : total > INT32_MAX ? INT32_MAX : total), zeros = 1;
    while (!(sum << zeros >> 31))
        zeros++;
    int32_t fraction = (int32_t)((((uint64_t)sum << (zeros - 1)) + (1 << 13)) >> 14) - (1 << 16) - (1 << 15);
    int64_t reciprocal = pe_lookup_s16(reciprocals, pe_clamp_s32(fraction, INT16_MIN, INT16_MAX));
    for (uint32_t i = 0; i < n; i++) {
        int64_t v = (y[i] * reciprocal + ((1 << (31 - zeros)) >> 1)) >> (31 - zeros);
        y[i] = (int16_t)(v < 0 ? 0 : v > INT16_MAX ? INT16_MAX : v);
    }
}

static void run(const pe_call *c)
{
    const pe_tensor *x = c->tensor[0];
    uint32_t n = (uint32_t)x->dims[x->rank - 1];
    for (uint32_t i = 0; i < pe_tensor_elements(x); i += n)
        row(c->params, c->data[1], c->data[2], (const int16_t *)c->data[0] + i, (int16_t *)c->data[3] + i, n);
}

const pe_op_def pe_op_def_softmax_s16 = {
    .kind = PE_OP_SOFTMAX_S16,
    .params_bytes = sizeof(pe_softmax_params),
    .min_inputs = 3,
    .max_inputs = 3,
    .outputs = 1,
    .name = "softmax_s16",
    .check = check,
    .run = run,
};
