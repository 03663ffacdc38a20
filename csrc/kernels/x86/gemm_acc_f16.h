#include "kernels/kernels.h"
#include "kernels/x86/f16.h"

/* Contract: kernels.h, pe_gemm_acc_f16_fn, pe_gemm_acc_fast16_fn, pe_dwacc_f16_fn and pe_dwacc_fast16_fn. PE_GEMM_ACC_F16 ..
 * PE_DWACC_FAST16: their names for the level; PE_GEMM_ACC_F32: the level's kernel of floats.
 *
 * Blocks of a and b are widened onto the stack, from where tiles read each element many times. */

enum { ROWS = 16, COLUMNS = 64, PRODUCTS = 64 };

/* As pe_floatv_load. round: as float16 has them. */
PE_INLINE pe_f32v load(const void *x, ptrdiff_t at, size_t n, bool is_f16, bool round)
{
    const pe_f32v v = pe_floatv_load(x, (size_t)at, n, is_f16);
    return round && !is_f16 ? pe_f16v_round(v) : v;
}

/* A block of an operand: rows of n elements, element (r, i) at r * row + i * step. */
typedef struct operand {
    const void *data;
    size_t row, step;
    bool is_f16;
} operand;

/* To rows of `width` floats, whole vectors. */
PE_NOT_COPIED static void widen(float *to, size_t width, const operand *x, size_t at, size_t rows, size_t n, bool round)
{
    for (; rows; rows--, to += width, at += x->row)
        if (x->step == 1)
            for (size_t i = 0; i < n; i += PE_LANES)
                pe_f32v_store(to + i, load(x->data, (ptrdiff_t)(at + i), n - i, x->is_f16, round));
        else
            for (size_t i = 0; i < n; i++) {
                const ptrdiff_t from = (ptrdiff_t)(at + i * x->step);
                to[i] =
                    round ? pe_f16_widen(pe_f16_at(x->data, from, x->is_f16)) : pe_float_at(x->data, from, x->is_f16);
            }
}

/* Products of one run for MR rows of NR vectors of sums in float16, in rows of COLUMNS floats. */
PE_INLINE void tile(const pe_acc_geometry *g, const float *a, const float *b, float *sums, const int MR, const int NR)
{
    pe_f32v sum[8][2];
    PE_FOR (p, MR)
        PE_FOR (i, NR)
            sum[p][i] = pe_f32v_load(sums + p * COLUMNS + PE_LANES * i);
    for (size_t k = g->k; k; k--, a += g->a_k, b += COLUMNS)
        PE_FOR (i, NR) {
            const pe_f32v v = pe_f32v_load(b + PE_LANES * i);
            PE_FOR (p, MR)
                sum[p][i] = pe_f16v_fma(pe_f32v_all(a[(size_t)p * g->a_m]), v, sum[p][i]);
        }
    PE_FOR (p, MR)
        PE_FOR (i, NR)
            pe_f32v_store(sums + p * COLUMNS + PE_LANES * i, sum[p][i]);
}

typedef void tile_fn(const pe_acc_geometry *g, const float *a, const float *b, float *sums);
#define TILE(MR, NR)                                                                                    \
    static void tile_##MR##x##NR(const pe_acc_geometry *g, const float *a, const float *b, float *sums) \
    {                                                                                                   \
        tile(g, a, b, sums, MR, NR);                                                                    \
    }
TILE(1, 1)
TILE(8, 1)
TILE(1, 2)
TILE(4, 2)

/* A block of widened operands; whole: its last product ends a run, which goes into c. */
static void fast16_block(const pe_acc_geometry *g, bool whole, const float *a, const float *b, float *c, uint16_t *runs)
{
    float sums[ROWS * COLUMNS] = {0};
    if (!g->fresh)
        widen(sums, COLUMNS, &(operand){runs, g->c_m, 1, true}, 0, g->m, g->n, false);
    for (size_t at = 0, vectors; at < g->n; at += vectors * PE_LANES) {
        vectors = g->n - at > PE_LANES ? 2 : 1;
        const size_t most = vectors == 2 ? 4 : 8;
        for (size_t i = 0, rows; i < g->m; i += rows) {
            rows = g->m - i >= most ? most : 1;
            tile_fn *const run = vectors == 2 ? (rows == 1 ? tile_1x2 : tile_4x2) : rows == 1 ? tile_1x1 : tile_8x1;
            run(g, a + i * g->a_m, b + at, sums + i * COLUMNS + at);
        }
    }
    for (size_t i = 0; i < g->m; i++, c += g->c_m, runs += g->c_m)
        for (size_t at = 0; at < g->n; at += PE_LANES) {
            const size_t n = g->n - at < PE_LANES ? g->n - at : PE_LANES;
            const pe_f32v zero = pe_f32v_all(0), sum = pe_f32v_load(sums + i * COLUMNS + at);
            const pe_f32v before = g->fresh ? zero : pe_f32v_load_first(c + at, n);
            pe_f32v_store_first(c + at, whole ? pe_f32v_add(before, sum) : before, n);
            pe_f16v_store_first(runs + at, whole ? zero : sum, n);
        }
}

/* runs: NULL for sums in float32. */
PE_NOT_COPIED static void products(const pe_acc_geometry *g, const void *a_, const void *b_, float *c, uint16_t *runs)
{
    float wide_a[ROWS * PRODUCTS], wide_b[PRODUCTS * COLUMNS];
    const bool across = g->a_m == 1; /* a's neighbours are those of different sums */
    const operand a = {a_, across ? g->a_k : g->a_m, across ? 1 : g->a_k, g->a_is_f16},
                  b = {b_, g->b_k, 1, g->b_is_f16};
    pe_acc_geometry block = {.a_m = across ? 1 : PRODUCTS, .a_k = across ? ROWS : 1, .b_k = COLUMNS, .c_m = g->c_m};
    for (size_t j = 0; j < g->n; j += COLUMNS) {
        block.n = g->n - j < COLUMNS ? g->n - j : COLUMNS;
        size_t in_run = g->in_run;
        for (size_t k = 0; k < g->k; k += block.k) {
            const size_t most = runs ? PE_FAST16_RUN - in_run : PRODUCTS;
            block.k = g->k - k < most ? g->k - k : most;
            block.fresh = g->fresh && k == 0;
            in_run = (in_run + block.k) % PE_FAST16_RUN;
            widen(wide_b, COLUMNS, &b, k * g->b_k + j, block.k, block.n, runs);
            for (size_t i = 0; i < g->m; i += ROWS) {
                float *const to = c + i * g->c_m + j;
                block.m = g->m - i < ROWS ? g->m - i : ROWS;
                widen(wide_a, across ? ROWS : PRODUCTS, &a, i * g->a_m + k * g->a_k, across ? block.k : block.m,
                      across ? block.m : block.k, runs);
                if (!runs) {
                    PE_GEMM_ACC_F32(&block, wide_a, wide_b, to);
                    continue;
                }
                fast16_block(&block, in_run == 0, wide_a, wide_b, to, runs + i * g->c_m + j);
            }
        }
    }
}

void PE_GEMM_ACC_F16(const pe_acc_geometry *g, const void *a, const void *b, float *c)
{
    products(g, a, b, c, NULL);
}

void PE_GEMM_ACC_FAST16(const pe_acc_geometry *g, const void *a, const void *b, float *c, uint16_t *runs)
{
    products(g, a, b, c, runs);
}

/* Channels side by side in all three; false: they are not. runs: as above. */
PE_NOT_COPIED static bool channels(const pe_dwacc_geometry *g, const void *a, const void *b, float *c, uint16_t *runs)
{
    if (g->a_n != 1 || g->b_n != 1 || g->c_n != 1)
        return false;
    for (size_t i = 0; i < g->n; i += PE_LANES) {
        const size_t n = g->n - i < PE_LANES ? g->n - i : PE_LANES;
        ptrdiff_t p = (ptrdiff_t)i, q = (ptrdiff_t)i;
        pe_f32v sum = pe_f32v_load_first(c + i, n), run = runs ? load(runs, p, n, true, false) : pe_f32v_all(0);
        size_t in_run = g->in_run;
        for (size_t k = g->k; k; k--, p += g->a_k, q += g->b_k) {
            const pe_f32v x = load(a, p, n, g->a_is_f16, runs), y = load(b, q, n, g->b_is_f16, runs);
            if (!runs) {
                sum = pe_f32v_fma(x, y, sum);
                continue;
            }
            run = pe_f16v_fma(x, y, run);
            if (++in_run == PE_FAST16_RUN) {
                sum = pe_f32v_add(sum, run);
                run = pe_f32v_all(0);
                in_run = 0;
            }
        }
        pe_f32v_store_first(c + i, sum, n);
        if (runs)
            pe_f16v_store_first(runs + i, run, n);
    }
    return true;
}

void PE_DWACC_F16(const pe_dwacc_geometry *g, const void *a, const void *b, float *c)
{
    if (!channels(g, a, b, c, NULL))
        pe_dwacc_f16__portable_1x1(g, a, b, c);
}

void PE_DWACC_FAST16(const pe_dwacc_geometry *g, const void *a, const void *b, float *c, uint16_t *runs)
{
    if (!channels(g, a, b, c, runs))
        pe_dwacc_fast16__portable_1x1(g, a, b, c, runs);
}
