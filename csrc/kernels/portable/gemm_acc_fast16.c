#include "kernels/f16.h"
#include "kernels/kernels.h"

/* Contract: kernels.h, pe_gemm_acc_fast16_fn. */
void pe_gemm_acc_fast16__portable_1x1(const pe_acc_geometry *g, const void *a, const void *b, float *c, uint16_t *runs)
{
    for (size_t i = 0; i < g->m; i++)
        for (size_t j = 0; j < g->n; j++) {
            float *sum = c + i * g->c_m + j;
            uint16_t *run = runs + i * g->c_m + j;
            if (g->fresh) {
                *sum = 0;
                *run = 0;
            }
            for (size_t k = 0; k < g->k; k++)
                pe_fast16_step(pe_f16_at(a, (ptrdiff_t)(i * g->a_m + k * g->a_k), g->a_is_f16),
                               pe_f16_at(b, (ptrdiff_t)(k * g->b_k + j), g->b_is_f16), g->in_run + k + 1, run, sum);
        }
}
