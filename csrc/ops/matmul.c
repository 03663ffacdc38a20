#include "matmul.h"
#include "check.h"
#include "kernels/kernels.h"

/* matmul_f32: y[.., m, n] = clip(sum over k of a[.., m, k] * b[.., k, n]), the axes before the last two broadcast.
 *
 * The GEMM takes rows of a and columns of b as runs of memory. What lies across is copied to scratch, tile by tile. */

#define TILE_M 2 /* the portable kernel's */
#define TILE_N 4

typedef struct matmul {
    uint32_t m, n, k;
    bool pack_a, pack_b;
} matmul;

static matmul resolve(const pe_call *c)
{
    const pe_matmul_params *p = c->params;
    const pe_tensor *a = c->tensor[0], *y = c->tensor[2];
    return (matmul){
        .m = pe_dim_from_right(y, 1),
        .n = pe_dim_from_right(y, 0),
        .k = pe_dim_from_right(a, p->transpose_a ? 1 : 0),
        .pack_a = p->transpose_a != 0,
        .pack_b = p->transpose_b == 0,
    };
}

/* columns of a matrix of k rows, row_stride elements apart, one after the other. */
static void pack(uint32_t columns, uint32_t k, const float *from, uint32_t row_stride, float *to)
{
    for (uint32_t j = 0; j < columns; j++)
        for (uint32_t i = 0; i < k; i++)
            *to++ = from[i * row_stride + j];
}

static void one(const pe_call *c, const matmul *g, const float *a, const float *b, float *y)
{
    const pe_matmul_params *p = c->params;
    float *const b_panel = c->scratch, *const a_panel = b_panel + (g->pack_b ? TILE_N * g->k : 0);
    const uint32_t width = g->pack_b ? TILE_N : g->n, height = g->pack_a ? TILE_M : g->m;
    for (uint32_t j = 0; j < g->n; j += width) {
        const uint32_t columns = g->n - j < width ? g->n - j : width;
        if (g->pack_b)
            pack(columns, g->k, b + j, g->n, b_panel);
        for (uint32_t i = 0; i < g->m; i += height) {
            const uint32_t rows = g->m - i < height ? g->m - i : height;
            if (g->pack_a)
                pack(rows, g->k, a + i, g->m, a_panel);
            c->kernels->gemm_f32(rows, columns, g->k, g->pack_a ? a_panel : a + i * g->k, g->k, g->pack_b ? b_panel : b,
                                 NULL, p->f_min, p->f_max, y + i * g->n + j, g->n);
        }
    }
}

static void run(const pe_call *c)
{
    const matmul g = resolve(c);
    const float *a = c->data[0], *b = c->data[1];
    float *y = c->data[2];
    pe_loops l = pe_matmul_batches(c->tensor[0], c->tensor[1], c->tensor[2], g.m * g.k, g.k * g.n);
    uint32_t at = 0, bt = 0;
    do {
        for (uint32_t i = 0; i < l.n[0]; i++, y += g.m * g.n)
            one(c, &g, a + at + i * l.a[0], b + bt + i * l.b[0], y);
    } while (pe_loops_next(&l, &at, &bt));
}

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_matmul_params *p = c->params;
    const pe_tensor *a = c->tensor[0], *b = c->tensor[1], *y = c->tensor[2];
    *text = "matmul_f32: a, b and y are not float32";
    if (a->dtype != PE_F32 || b->dtype != PE_F32 || y->dtype != PE_F32)
        return PE_ERR_SHAPE;
    *text = pe_matmul_fault(a, b, y, p->transpose_a != 0, p->transpose_b != 0);
    if (*text)
        return PE_ERR_SHAPE;
    const matmul g = resolve(c);
    *text = "matmul_f32: f_min and f_max are no range";
    if (!pe_is_range_f32(p->f_min, p->f_max))
        return PE_ERR_SHAPE;
    const uint64_t scratch = ((g.pack_b ? TILE_N : 0) + (g.pack_a ? TILE_M : 0)) * (uint64_t)g.k * sizeof(float);
    *text = "matmul_f32: K is too large";
    if (scratch > PE_MAX_EXTENT)
        return PE_ERR_SHAPE;
    *scratch_bytes = (uint32_t)scratch;
    return PE_OK;
}

const pe_op_def pe_op_def_matmul_f32 = {
    .kind = PE_OP_MATMUL_F32,
    .params_bytes = sizeof(pe_matmul_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "matmul_f32",
    .check = check,
    .run = run,
};
