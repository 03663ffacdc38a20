#include "kernels/f16.h"
#include "kernels/kernels.h"

/* Contract: kernels.h, pe_gemm_acc_f16_fn. Each element is widened where it is read, so two rows of a share four
 * neighbours of b. */

static void tile_2x4(const pe_acc_geometry *g, const void *a, ptrdiff_t a_at, const void *b, ptrdiff_t b_at, float *c)
{
    const ptrdiff_t a_m = (ptrdiff_t)g->a_m, a_k = (ptrdiff_t)g->a_k, b_k = (ptrdiff_t)g->b_k;
    float *c0 = c, *c1 = c + g->c_m;
    float s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
    if (!g->fresh) {
        s00 = c0[0], s01 = c0[1], s02 = c0[2], s03 = c0[3];
        s10 = c1[0], s11 = c1[1], s12 = c1[2], s13 = c1[3];
    }
    for (size_t k = g->k; k; k--, a_at += a_k, b_at += b_k) {
        const float x0 = pe_float_at(a, a_at, g->a_is_f16), x1 = pe_float_at(a, a_at + a_m, g->a_is_f16);
        const float b0 = pe_float_at(b, b_at, g->b_is_f16), b1 = pe_float_at(b, b_at + 1, g->b_is_f16);
        const float b2 = pe_float_at(b, b_at + 2, g->b_is_f16), b3 = pe_float_at(b, b_at + 3, g->b_is_f16);
        s00 = pe_fmaf(x0, b0, s00);
        s01 = pe_fmaf(x0, b1, s01);
        s02 = pe_fmaf(x0, b2, s02);
        s03 = pe_fmaf(x0, b3, s03);
        s10 = pe_fmaf(x1, b0, s10);
        s11 = pe_fmaf(x1, b1, s11);
        s12 = pe_fmaf(x1, b2, s12);
        s13 = pe_fmaf(x1, b3, s13);
    }
    c0[0] = s00, c0[1] = s01, c0[2] = s02, c0[3] = s03;
    c1[0] = s10, c1[1] = s11, c1[2] = s12, c1[3] = s13;
}

static void tile_1x1(const pe_acc_geometry *g, const void *a, ptrdiff_t a_at, const void *b, ptrdiff_t b_at, float *c)
{
    const ptrdiff_t a_k = (ptrdiff_t)g->a_k, b_k = (ptrdiff_t)g->b_k;
    float sum = g->fresh ? 0 : *c;
    for (size_t k = g->k; k; k--, a_at += a_k, b_at += b_k)
        sum = pe_fmaf(pe_float_at(a, a_at, g->a_is_f16), pe_float_at(b, b_at, g->b_is_f16), sum);
    *c = sum;
}

void pe_gemm_acc_f16__portable_2x4(const pe_acc_geometry *g, const void *a, const void *b, float *c)
{
    for (size_t i = 0; i < g->m; i += 2)
        for (size_t j = 0; j < g->n; j += 4) {
            float *to = c + i * g->c_m + j;
            if (g->m - i >= 2 && g->n - j >= 4) {
                tile_2x4(g, a, (ptrdiff_t)(i * g->a_m), b, (ptrdiff_t)j, to);
                continue;
            }
            for (size_t row = i; row < i + 2 && row < g->m; row++, to += g->c_m)
                for (size_t column = j; column < j + 4 && column < g->n; column++)
                    tile_1x1(g, a, (ptrdiff_t)(row * g->a_m), b, (ptrdiff_t)column, to + column - j);
        }
}
