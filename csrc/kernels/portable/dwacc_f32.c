#include "kernels/fma.h"
#include "kernels/kernels.h"

/* Contract: kernels.h, pe_dwacc_f32_fn. */

/* Four neighbours in all three. */
static void tile_4(const pe_dwacc_geometry *g, const float *a, const float *b, float *c)
{
    float s0 = c[0], s1 = c[1], s2 = c[2], s3 = c[3];
    for (size_t k = g->k; k; k--, a += g->a_k, b += g->b_k) {
        s0 = pe_fmaf(a[0], b[0], s0);
        s1 = pe_fmaf(a[1], b[1], s1);
        s2 = pe_fmaf(a[2], b[2], s2);
        s3 = pe_fmaf(a[3], b[3], s3);
    }
    c[0] = s0, c[1] = s1, c[2] = s2, c[3] = s3;
}

void pe_dwacc_f32__portable_1x4(const pe_dwacc_geometry *g, const float *a, const float *b, float *c)
{
    size_t i = 0;
    if (g->a_n == 1 && g->b_n == 1 && g->c_n == 1)
        for (; i + 4 <= g->n; i += 4)
            tile_4(g, a + i, b + i, c + i);
    for (; i < g->n; i++) {
        const float *p = a + i * g->a_n, *q = b + i * g->b_n;
        float sum = c[i * g->c_n];
        for (size_t k = g->k; k; k--, p += g->a_k, q += g->b_k)
            sum = pe_fmaf(*p, *q, sum);
        c[i * g->c_n] = sum;
    }
}
