#include "ops/gradient.h"

/* linear_dgrad: dx[m, k] = sum over n of dy[m, n] * w[n, k]. linear_wgrad: dw[n, k] = sum over m of dy[m, n] * x[m, k]. */

#define COLUMNS 64 /* of a block of sums in scratch */

/* Rows of a block; its columns in *columns. */
static size_t block_of(const pe_gradient *t, size_t m, size_t n, size_t *columns)
{
    const bool in_y = pe_sums_in_y(t);
    *columns = in_y || n < COLUMNS ? n : COLUMNS;
    const size_t rows = pe_sums_at_once(t) / (*columns * sizeof(float));
    return in_y || m < rows ? m : rows;
}

uint32_t pe_gradient_gemm_scratch(const pe_gradient *t, size_t m, size_t n)
{
    size_t columns;
    const size_t rows = block_of(t, m, n, &columns);
    return (uint32_t)pe_sums_bytes(t, rows * columns);
}

void pe_gradient_gemm(const pe_gradient *t, size_t m, size_t n, size_t k, size_t a_m, size_t a_k, const void *a,
                      const void *b, void *y, void *scratch)
{
    size_t columns;
    const size_t rows = block_of(t, m, n, &columns);
    const pe_sums s = pe_sums_in_y(t) ? (pe_sums){y, NULL} : pe_sums_at(t, scratch, rows * columns);
    pe_acc_geometry g = {.k = k, .a_m = a_m, .a_k = a_k, .b_k = n, .c_m = columns, .rows = 1, .fresh = true};
    for (size_t i = 0; i < m; i += rows)
        for (size_t j = 0; j < n; j += columns) {
            g.m = m - i < rows ? m - i : rows;
            g.n = n - j < columns ? n - j : columns;
            pe_gemm_acc(t, &g, (const uint8_t *)a + i * a_m * pe_a_bytes(t), (const uint8_t *)b + j * pe_b_bytes(t), s,
                        0);
            if (columns == n) /* one run */
                pe_sums_store(t, s, 0, g.m * n, y, i * n);
            else
                for (size_t row = 0; row < g.m; row++)
                    pe_sums_store(t, s, row * columns, g.n, y, (i + row) * n + j);
        }
}

static void run_dgrad(const pe_call *c, bool half)
{
    const pe_linear_params *p = c->params;
    const pe_gradient t = pe_gradient_of(c, half, p->rounding);
    const size_t m = (size_t)c->tensor[0]->dims[0], n = (size_t)c->tensor[0]->dims[1],
                 k = (size_t)c->tensor[1]->dims[1];
    pe_gradient_gemm(&t, m, k, n, n, 1, c->data[0], c->data[1], c->data[2], c->scratch);
}

static void run_wgrad(const pe_call *c, bool half)
{
    const pe_linear_params *p = c->params;
    const pe_gradient t = pe_gradient_of(c, half, p->rounding);
    const size_t m = (size_t)c->tensor[0]->dims[0], n = (size_t)c->tensor[0]->dims[1],
                 k = (size_t)c->tensor[1]->dims[1];
    pe_gradient_gemm(&t, n, k, m, 1, n, c->data[0], c->data[1], c->data[2], c->scratch);
}

/* half, wgrad: which of the four kinds. */
static pe_status check(const pe_call *c, bool half, bool wgrad, uint32_t *scratch_bytes, const char **text)
{
    const pe_linear_params *p = c->params;
    const pe_tensor *dy = c->tensor[0], *b = c->tensor[1], *y = c->tensor[2];
    *text = pe_gradient_fault(c, half, p->rounding);
    if (!*text && (dy->rank != 2 || b->rank != 2 || y->rank != 2 || y->dims[1] != b->dims[1] ||
                   b->dims[0] != dy->dims[wgrad ? 0 : 1] || y->dims[0] != dy->dims[wgrad ? 1 : 0]))
        *text = wgrad ? "linear_wgrad: dy [M, N], x [M, K] and dw [N, K] do not fit together"
                      : "linear_dgrad: dy [M, N], w [N, K] and dx [M, K] do not fit together";
    if (*text)
        return PE_ERR_SHAPE;
    const pe_gradient t = pe_gradient_of(c, half, p->rounding);
    *scratch_bytes = pe_gradient_gemm_scratch(&t, (size_t)y->dims[0], (size_t)y->dims[1]);
    return PE_OK;
}

#define LINEAR_DEF(primitive, PRIMITIVE, type, TYPE, half)                                                    \
    static void run_##primitive##_##type(const pe_call *c)                                                    \
    {                                                                                                         \
        run_##primitive(c, half);                                                                             \
    }                                                                                                         \
    static pe_status check_##primitive##_##type(const pe_call *c, uint32_t *scratch_bytes, const char **text) \
    {                                                                                                         \
        return check(c, half, #primitive[0] == 'w', scratch_bytes, text);                                     \
    }                                                                                                         \
    const pe_op_def pe_op_def_linear_##primitive##_##type = {                                                 \
        .kind = PE_OP_LINEAR_##PRIMITIVE##_##TYPE,                                                            \
        .params_bytes = sizeof(pe_linear_params),                                                             \
        .min_inputs = 2,                                                                                      \
        .max_inputs = 2,                                                                                      \
        .outputs = 1,                                                                                         \
        .name = "linear_" #primitive "_" #type,                                                               \
        .check = check_##primitive##_##type,                                                                  \
        .run = run_##primitive##_##type,                                                                      \
    };

LINEAR_DEF(dgrad, DGRAD, f32, F32, false)
LINEAR_DEF(dgrad, DGRAD, f16, F16, true)
LINEAR_DEF(wgrad, WGRAD, f32, F32, false)
LINEAR_DEF(wgrad, WGRAD, f16, F16, true)
