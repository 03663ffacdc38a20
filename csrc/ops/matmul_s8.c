#include "check.h"
#include "matmul.h"
#include "requantize.h"

/* matmul_s8: y[.., m, n] = requantize(sum over k of (a[.., m, k] - za) * (b[.., k, n] - zb)), the axes before the last
 * two broadcast: a product of two int8 activations, each with one scale. Sums wrap modulo 2^32. */

typedef struct matmul {
    uint32_t m, n, k;
    uint32_t a_row, a_step, b_column, b_step; /* elements */
} matmul;

static matmul resolve(const pe_call *c)
{
    const pe_matmul_s8_params *p = c->params;
    const uint32_t m = pe_dim_from_right(c->tensor[2], 1), n = pe_dim_from_right(c->tensor[2], 0);
    const uint32_t k = pe_dim_from_right(c->tensor[0], p->transpose_a ? 1 : 0);
    matmul g = {.m = m, .n = n, .k = k};
    g.a_row = p->transpose_a ? 1 : k;
    g.a_step = p->transpose_a ? m : 1;
    g.b_column = p->transpose_b ? k : 1;
    g.b_step = p->transpose_b ? 1 : n;
    return g;
}

static void one(const pe_matmul_s8_params *p, const matmul *g, const int8_t *a, const int8_t *b, int8_t *y)
{
    const pe_output_s8 out = {p->y_zero_point, p->y_min, p->y_max};
    for (uint32_t i = 0; i < g->m; i++)
        for (uint32_t j = 0; j < g->n; j++) {
            const int8_t *row = a + i * g->a_row, *column = b + j * g->b_column;
            uint32_t sum = 0;
            for (uint32_t k = 0; k < g->k; k++)
                sum += (uint32_t)((row[k * g->a_step] - p->a_zero_point) * (column[k * g->b_step] - p->b_zero_point));
            *y++ = pe_requantize_s8(sum, p->multiplier, p->shift, &out);
        }
}

static void run(const pe_call *c)
{
    const pe_tensor *a = c->tensor[0], *b = c->tensor[1], *y = c->tensor[2];
    const matmul g = resolve(c);
    int8_t *to = c->data[2];
    pe_loops l = pe_matmul_batches(a, b, y, g.m * g.k, g.k * g.n);
    uint32_t at = 0, bt = 0;
    do {
        for (uint32_t i = 0; i < l.n[0]; i++, to += g.m * g.n)
            one(c->params, &g, (const int8_t *)c->data[0] + at + i * l.a[0],
                (const int8_t *)c->data[1] + bt + i * l.b[0], to);
    } while (pe_loops_next(&l, &at, &bt));
}

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_matmul_s8_params *p = c->params;
    const pe_tensor *a = c->tensor[0], *b = c->tensor[1], *y = c->tensor[2];
    (void)scratch_bytes;
    *text = "matmul_s8: a, b and y are not int8";
    if (a->dtype != PE_S8 || b->dtype != PE_S8 || y->dtype != PE_S8)
        return PE_ERR_SHAPE;
    *text = pe_matmul_fault(a, b, y, p->transpose_a != 0, p->transpose_b != 0);
    if (*text)
        return PE_ERR_SHAPE;
    *text = "matmul_s8: a zero point or the clamp is not int8, or the multiplier is out of range";
    return pe_is_s8(p->a_zero_point) && pe_is_s8(p->b_zero_point) && pe_is_s8(p->y_zero_point) &&
                   pe_is_multiplier(p->multiplier, p->shift) && pe_is_range_s8(p->y_min, p->y_max)
               ? PE_OK
               : PE_ERR_SHAPE;
}

const pe_op_def pe_op_def_matmul_s8 = {
    .kind = PE_OP_MATMUL_S8,
    .params_bytes = sizeof(pe_matmul_s8_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "matmul_s8",
    .check = check,
    .run = run,
};
