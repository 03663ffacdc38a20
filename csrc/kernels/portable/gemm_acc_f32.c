#include "kernels/fma.h"
#include "kernels/kernels.h"

/* Contract: kernels.h, pe_gemm_acc_f32_fn. Four rows of a share four neighbours of b; named sums, as in gemm_f32.c. */

static void tile_4x4(const pe_acc_geometry *g, const float *a, const float *b, float *c)
{
    const size_t a_k = g->a_k, b_k = g->b_k, c_m = g->c_m;
    const float *a0 = a, *a1 = a0 + g->a_m, *a2 = a1 + g->a_m, *a3 = a2 + g->a_m;
    float *c0 = c, *c1 = c0 + c_m, *c2 = c1 + c_m, *c3 = c2 + c_m;
    float s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
    float s20 = 0, s21 = 0, s22 = 0, s23 = 0, s30 = 0, s31 = 0, s32 = 0, s33 = 0;
    if (!g->fresh) {
        s00 = c0[0], s01 = c0[1], s02 = c0[2], s03 = c0[3];
        s10 = c1[0], s11 = c1[1], s12 = c1[2], s13 = c1[3];
        s20 = c2[0], s21 = c2[1], s22 = c2[2], s23 = c2[3];
        s30 = c3[0], s31 = c3[1], s32 = c3[2], s33 = c3[3];
    }
    for (size_t k = g->k; k; k--) {
        const float b0 = b[0], b1 = b[1], b2 = b[2], b3 = b[3];
        const float x0 = *a0, x1 = *a1, x2 = *a2, x3 = *a3;
        s00 = pe_fmaf(x0, b0, s00);
        s01 = pe_fmaf(x0, b1, s01);
        s02 = pe_fmaf(x0, b2, s02);
        s03 = pe_fmaf(x0, b3, s03);
        s10 = pe_fmaf(x1, b0, s10);
        s11 = pe_fmaf(x1, b1, s11);
        s12 = pe_fmaf(x1, b2, s12);
        s13 = pe_fmaf(x1, b3, s13);
        s20 = pe_fmaf(x2, b0, s20);
        s21 = pe_fmaf(x2, b1, s21);
        s22 = pe_fmaf(x2, b2, s22);
        s23 = pe_fmaf(x2, b3, s23);
        s30 = pe_fmaf(x3, b0, s30);
        s31 = pe_fmaf(x3, b1, s31);
        s32 = pe_fmaf(x3, b2, s32);
        s33 = pe_fmaf(x3, b3, s33);
        a0 += a_k, a1 += a_k, a2 += a_k, a3 += a_k, b += b_k;
    }
    c0[0] = s00, c0[1] = s01, c0[2] = s02, c0[3] = s03;
    c1[0] = s10, c1[1] = s11, c1[2] = s12, c1[3] = s13;
    c2[0] = s20, c2[1] = s21, c2[2] = s22, c2[3] = s23;
    c3[0] = s30, c3[1] = s31, c3[2] = s32, c3[3] = s33;
}

static void tile_1x4(const pe_acc_geometry *g, const float *a, const float *b, float *c)
{
    const size_t a_k = g->a_k, b_k = g->b_k;
    float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    if (!g->fresh)
        s0 = c[0], s1 = c[1], s2 = c[2], s3 = c[3];
    for (size_t k = g->k; k; k--, a += a_k, b += b_k) {
        const float x = *a;
        s0 = pe_fmaf(x, b[0], s0);
        s1 = pe_fmaf(x, b[1], s1);
        s2 = pe_fmaf(x, b[2], s2);
        s3 = pe_fmaf(x, b[3], s3);
    }
    c[0] = s0, c[1] = s1, c[2] = s2, c[3] = s3;
}

static void tile_1x1(const pe_acc_geometry *g, const float *a, const float *b, float *c)
{
    float sum = g->fresh ? 0 : *c;
    for (size_t k = g->k; k; k--, a += g->a_k, b += g->b_k)
        sum = pe_fmaf(*a, *b, sum);
    *c = sum;
}

typedef void tile_fn(const pe_acc_geometry *g, const float *a, const float *b, float *c);

/* Rows of c, by tiles of four columns. */
static void rows(const pe_acc_geometry *g, size_t m, tile_fn *tile, const float *a, const float *b, float *c)
{
    const size_t whole = g->n & ~(size_t)3;
    for (size_t j = 0; j < whole; j += 4)
        tile(g, a, b + j, c + j);
    for (; m; m--, a += g->a_m, c += g->c_m)
        for (size_t j = whole; j < g->n; j++)
            tile_1x1(g, a, b + j, c + j);
}

void pe_gemm_acc_f32__portable_4x4(const pe_acc_geometry *g, const float *a, const float *b, float *c)
{
    size_t m = g->m;
    for (; m >= 4; m -= 4, a += 4 * g->a_m, c += 4 * g->c_m)
        rows(g, 4, tile_4x4, a, b, c);
    for (; m; m--, a += g->a_m, c += g->c_m)
        rows(g, 1, tile_1x4, a, b, c);
}
