#include "matmul.h"
#include "s16.h"

/* matmul_s16: as matmul_s8, a product of two int16 activations with zero point 0, 64-bit sums; multiplier and shift are
 * those of pe_requantize_s64. */

static void one(const pe_matmul_s8_params *p, uint32_t m, uint32_t n, uint32_t k, const int16_t *a, const int16_t *b,
                int16_t *y)
{
    const uint32_t a_row = p->transpose_a ? 1 : k, a_step = p->transpose_a ? m : 1;
    const uint32_t b_column = p->transpose_b ? k : 1, b_step = p->transpose_b ? 1 : n;
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t j = 0; j < n; j++) {
            const int16_t *row = a + i * a_row, *column = b + j * b_column;
            int64_t sum = 0;
            for (uint32_t t = 0; t < k; t++)
                sum += row[t * a_step] * column[t * b_step];
            *y++ = (int16_t)pe_clamp_s32(pe_requantize_s64(sum, p->multiplier, p->shift), p->y_min, p->y_max);
        }
}

static void run(const pe_call *c)
{
    const pe_matmul_s8_params *p = c->params;
    const pe_tensor *a = c->tensor[0], *b = c->tensor[1], *y = c->tensor[2];
    const uint32_t m = pe_dim_from_right(y, 1), n = pe_dim_from_right(y, 0);
    const uint32_t k = pe_dim_from_right(a, p->transpose_a ? 1 : 0);
    int16_t *to = c->data[2];
    pe_loops l = pe_matmul_batches(a, b, y, m * k, k * n);
    uint32_t at = 0, bt = 0;
    do {
        for (uint32_t i = 0; i < l.n[0]; i++, to += m * n)
            one(p, m, n, k, (const int16_t *)c->data[0] + at + i * l.a[0],
                (const int16_t *)c->data[1] + bt + i * l.b[0], to);
    } while (pe_loops_next(&l, &at, &bt));
}

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_matmul_s8_params *p = c->params;
    const pe_tensor *a = c->tensor[0], *b = c->tensor[1], *y = c->tensor[2];
    (void)scratch_bytes;
    *text = "matmul_s16: a, b and y are not int16";
    if (a->dtype != PE_S16 || b->dtype != PE_S16 || y->dtype != PE_S16)
        return PE_ERR_SHAPE;
    *text = pe_matmul_fault(a, b, y, p->transpose_a != 0, p->transpose_b != 0);
    if (*text)
        return PE_ERR_SHAPE;
    *text = "matmul_s16: zero points or clamp";
    return p->a_zero_point == 0 && p->b_zero_point == 0 && p->y_zero_point == 0 && pe_is_range_s16(p->y_min, p->y_max)
               ? PE_OK
               : PE_ERR_SHAPE;
}

const pe_op_def pe_op_def_matmul_s16 = {
    .kind = PE_OP_MATMUL_S16,
    .params_bytes = sizeof(pe_matmul_s8_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "matmul_s16",
    .check = check,
    .run = run,
};
