#include "kernels/kernels.h"
#include "kernels/neon/convert.h"

/* Contract: kernels.h, pe_dwacc_f32_fn and pe_dwacc_f16_fn. Channels that are no neighbours, operands of two types and the last
 * channels are for the portable kernels. */

PE_INLINE void vectors(const pe_dwacc_geometry *g, const void *a, const void *b, float *c, const int V,
                       const bool IS_F16)
{
    const ptrdiff_t bytes = IS_F16 ? 2 : 4;
    const uint8_t *x = a, *w = b;
    float32x4_t sum[4];
    PE_FOR (v, V)
        sum[v] = vld1q_f32(c + 4 * v);
    for (size_t k = g->k; k; k--, x += g->a_k * bytes, w += g->b_k * bytes)
        PE_FOR (v, V)
            sum[v] = vfmaq_f32(sum[v], pe_neon_load_f32(x + 4 * v * bytes, IS_F16),
                               pe_neon_load_f32(w + 4 * v * bytes, IS_F16));
    PE_FOR (v, V)
        vst1q_f32(c + 4 * v, sum[v]);
}

/* Returns how many channels are done. */
PE_INLINE size_t channels(const pe_dwacc_geometry *g, const void *a, const void *b, float *c, const bool IS_F16)
{
    const size_t bytes = IS_F16 ? 2 : 4;
    const uint8_t *x = a, *w = b;
    size_t i = 0;
    if (g->a_n != 1 || g->b_n != 1 || g->c_n != 1)
        return 0;
    for (; i + 16 <= g->n; i += 16)
        vectors(g, x + i * bytes, w + i * bytes, c + i, 4, IS_F16);
    for (; i + 4 <= g->n; i += 4)
        vectors(g, x + i * bytes, w + i * bytes, c + i, 1, IS_F16);
    return i;
}

void pe_dwacc_f32__neon_1x16(const pe_dwacc_geometry *g, const float *a, const float *b, float *c)
{
    const size_t done = channels(g, a, b, c, false);
    pe_dwacc_geometry rest = *g;
    rest.n -= done;
    if (rest.n)
        pe_dwacc_f32__portable_1x4(&rest, a + done, b + done, c + done);
}

void pe_dwacc_f16__neon_1x16(const pe_dwacc_geometry *g, const void *a, const void *b, float *c)
{
    const size_t done = g->a_is_f16 && g->b_is_f16 ? channels(g, a, b, c, true) : 0;
    pe_dwacc_geometry rest = *g;
    rest.n -= done;
    if (rest.n)
        pe_dwacc_f16__portable_1x1(&rest, (const uint16_t *)a + done, (const uint16_t *)b + done, c + done);
}
