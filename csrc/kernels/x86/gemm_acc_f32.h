#include "kernels/kernels.h"
#include "kernels/x86/acc_f32.h"

/* Contract: kernels.h, pe_gemm_acc_f32_fn and pe_dwacc_f32_fn. PE_GEMM_ACC, PE_DWACC: their names for the level. */

#define K_BLOCK 256 /* products at a time, so that what tiles of the same sums share stays in the first-level cache */

void PE_GEMM_ACC(const pe_acc_geometry *g, const float *a, const float *b, float *c)
{
    pe_acc_job j = {.rows = 1, .a_k = g->a_k, .a_m = g->a_m, .b_k = g->b_k, .c_m = g->c_m, .fresh = g->fresh};
    for (size_t k = 0; k < g->k; k += K_BLOCK, j.fresh = false) {
        j.k = g->k - k < K_BLOCK ? g->k - k : K_BLOCK;
        pe_acc_product(&j, g->m, g->n, a + k * g->a_k, b + k * g->b_k, c);
    }
}

/* NR vectors of neighbours; last: lanes of the last one. */
PE_INLINE void channels(const pe_dwacc_geometry *g, const float *a, const float *b, float *c, const size_t last,
                        const int NR)
{
    pe_f32v sum[4];
    PE_FOR (i, NR - 1)
        sum[i] = pe_f32v_load(c + PE_LANES * i);
    sum[NR - 1] = pe_f32v_load_first(c + PE_LANES * (NR - 1), last);
    for (size_t k = g->k; k; k--, a += g->a_k, b += g->b_k) {
        PE_FOR (i, NR - 1)
            sum[i] = pe_f32v_fma(pe_f32v_load(a + PE_LANES * i), pe_f32v_load(b + PE_LANES * i), sum[i]);
        sum[NR - 1] = pe_f32v_fma(pe_f32v_load_first(a + PE_LANES * (NR - 1), last),
                                  pe_f32v_load_first(b + PE_LANES * (NR - 1), last), sum[NR - 1]);
    }
    PE_FOR (i, NR - 1)
        pe_f32v_store(c + PE_LANES * i, sum[i]);
    pe_f32v_store_first(c + PE_LANES * (NR - 1), sum[NR - 1], last);
}

void PE_DWACC(const pe_dwacc_geometry *g, const float *a, const float *b, float *c)
{
    if (g->a_n == 1 && g->b_n == 1 && g->c_n == 1) {
        size_t i = 0;
        for (; i + 4 * PE_LANES <= g->n; i += 4 * PE_LANES)
            channels(g, a + i, b + i, c + i, PE_LANES, 4);
        for (; i < g->n; i += PE_LANES)
            channels(g, a + i, b + i, c + i, g->n - i < PE_LANES ? g->n - i : PE_LANES, 1);
        return;
    }
    for (size_t i = 0; i < g->n; i++) {
        const float *p = a + i * g->a_n, *q = b + i * g->b_n;
        float sum = c[i * g->c_n];
        for (size_t k = g->k; k; k--, p += g->a_k, q += g->b_k)
            sum = pe_fmaf(*p, *q, sum);
        c[i * g->c_n] = sum;
    }
}
