#include "kernels/f16.h"
#include "kernels/kernels.h"

/* Contract: kernels.h, pe_dwacc_fast16_fn. */
void pe_dwacc_fast16__portable_1x1(const pe_dwacc_geometry *g, const void *a, const void *b, float *c, uint16_t *runs)
{
    for (size_t i = 0; i < g->n; i++) {
        ptrdiff_t p = (ptrdiff_t)(i * g->a_n), q = (ptrdiff_t)(i * g->b_n);
        for (size_t k = 0; k < g->k; k++, p += g->a_k, q += g->b_k)
            pe_fast16_step(pe_f16_at(a, p, g->a_is_f16), pe_f16_at(b, q, g->b_is_f16), g->in_run + k + 1,
                           runs + i * g->c_n, c + i * g->c_n);
    }
}
