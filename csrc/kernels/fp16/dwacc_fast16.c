#include "kernels/f16.h"
#include "kernels/kernels.h"
#include "kernels/neon/neon.h"

/* Contract: kernels.h, pe_dwacc_fast16_fn. Channels that are no neighbours, operands of two types and the last channels are for
 * the portable kernel. */

enum { LANES = 8 };

static void channels(const pe_dwacc_geometry *g, const uint16_t *a, const uint16_t *b, float *c, uint16_t *runs)
{
    float16x8_t run = vreinterpretq_f16_u16(vld1q_u16(runs));
    size_t in_run = g->in_run;
    for (size_t k = g->k; k; k--, a += g->a_k, b += g->b_k) {
        run = vfmaq_f16(run, vreinterpretq_f16_u16(vld1q_u16(a)), vreinterpretq_f16_u16(vld1q_u16(b)));
        if (++in_run == PE_FAST16_RUN) {
            vst1q_f32(c, vaddq_f32(vld1q_f32(c), vcvt_f32_f16(vget_low_f16(run))));
            vst1q_f32(c + 4, vaddq_f32(vld1q_f32(c + 4), vcvt_high_f32_f16(run)));
            run = vdupq_n_f16(0);
            in_run = 0;
        }
    }
    vst1q_u16(runs, vreinterpretq_u16_f16(run));
}

void pe_dwacc_fast16__fp16_1x8(const pe_dwacc_geometry *g, const void *a, const void *b, float *c, uint16_t *runs)
{
    const bool vectors = g->a_is_f16 && g->b_is_f16 && g->a_n == 1 && g->b_n == 1 && g->c_n == 1;
    const uint16_t *x = a, *w = b;
    size_t i = 0;
    for (; vectors && i + LANES <= g->n; i += LANES)
        channels(g, x + i, w + i, c + i, runs + i);
    pe_dwacc_geometry rest = *g;
    rest.n -= i;
    if (rest.n)
        pe_dwacc_fast16__portable_1x1(&rest, x + i, w + i, c + i, runs + i);
}
