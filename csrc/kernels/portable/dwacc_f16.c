#include "kernels/f16.h"
#include "kernels/kernels.h"

/* Contract: kernels.h, pe_dwacc_f16_fn. */
void pe_dwacc_f16__portable_1x1(const pe_dwacc_geometry *g, const void *a, const void *b, float *c)
{
    for (size_t i = 0; i < g->n; i++) {
        ptrdiff_t p = (ptrdiff_t)(i * g->a_n), q = (ptrdiff_t)(i * g->b_n);
        float sum = c[i * g->c_n];
        for (size_t k = g->k; k; k--, p += g->a_k, q += g->b_k)
            sum = pe_fmaf(pe_float_at(a, p, g->a_is_f16), pe_float_at(b, q, g->b_is_f16), sum);
        c[i * g->c_n] = sum;
    }
}
