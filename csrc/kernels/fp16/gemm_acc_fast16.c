#include "kernels/f16.h"
#include "kernels/neon/gemm_acc.h"

/* Contract: kernels.h, pe_gemm_acc_fast16_fn. The float sums, which only every PE_FAST16_RUN products go to, stay in memory. */

PE_INLINE float16x8_t load(const uint16_t *x, size_t n, const bool part)
{
    return vreinterpretq_f16_u16(part ? pe_neon_first_f16(x, n) : vld1q_u16(x));
}

/* 8 elements of either type; the first 4; the first n < 8. */
PE_INLINE float16x8_t load_8(const void *x, const bool is_f16)
{
    return vreinterpretq_f16_u16(pe_neon_load_f16(x, is_f16));
}

PE_INLINE float16x8_t load_4(const void *x, const bool is_f16)
{
    const uint16x4_t low = is_f16 ? vld1_u16(x) : pe_neon_narrow(vld1q_f32(x));
    return vreinterpretq_f16_u16(vcombine_u16(low, low));
}

PE_INLINE float16x8_t load_part(const void *x, size_t n, const bool is_f16)
{
    if (is_f16)
        return load(x, n, true);
    float elements[8] = {0};
    for (size_t i = 0; i < n; i++)
        elements[i] = ((const float *)x)[i];
    return load_8(elements, false);
}

PE_INLINE float16x8_t all_of(const void *x, const bool is_f16)
{
    const uint16x4_t all = is_f16 ? vld1_dup_u16(x) : pe_neon_narrow(vld1q_dup_f32(x));
    return vreinterpretq_f16_u16(vcombine_u16(all, all));
}

PE_INLINE void store(uint16_t *x, float16x8_t v, size_t n, const bool part)
{
    if (part)
        for (size_t i = 0; i < n; i++)
            x[i] = vreinterpretq_u16_f16(v)[i];
    else
        vst1q_u16(x, vreinterpretq_u16_f16(v));
}

/* The run goes into the sums. */
PE_INLINE void flush(float *c, float16x8_t run, size_t n, const bool part)
{
    const float32x4_t low = vcvt_f32_f16(vget_low_f16(run)), high = vcvt_high_f32_f16(run);
    if (!part) {
        vst1q_f32(c, vaddq_f32(vld1q_f32(c), low));
        vst1q_f32(c + 4, vaddq_f32(vld1q_f32(c + 4), high));
        return;
    }
    for (size_t i = 0; i < n; i++)
        c[i] += i < 4 ? low[i] : high[i - 4];
}

/* a_is_f16, b_is_f16: constants, or not, where types are mixed. */
PE_INLINE void tile_of(const pe_acc_geometry *g, const pe_acc_tile *t, const int M, const int V, const bool PART,
                       const bool BY_K, const bool a_is_f16, const bool b_is_f16)
{
    const size_t n = t->n, c_m = g->c_m, a_bytes = a_is_f16 ? 2 : 4, b_bytes = b_is_f16 ? 2 : 4;
    const size_t a_m = g->a_m * a_bytes, a_k = g->a_k * a_bytes, b_k = g->b_k * b_bytes;
    float16x8_t run[8][2];
    PE_FOR (m, M)
        PE_FOR (v, V) {
            const size_t at = (size_t)m * c_m + 8 * (size_t)v;
            run[m][v] = g->fresh ? vdupq_n_f16(0) : load(t->runs + at, n, PART);
            if (g->fresh)
                for (size_t i = 0; i < (PART ? n : 8); i++)
                    t->c[at + i] = 0;
        }
#define STEP(X)                                                                                      \
    {                                                                                                \
        float16x8_t w[2];                                                                            \
        PE_FOR (v, V)                                                                                \
            w[v] = PART ? load_part(b, n, b_is_f16) : load_8(b + 8 * (size_t)v * b_bytes, b_is_f16); \
        b += b_k;                                                                                    \
        PE_FOR (m, M)                                                                                \
            PE_FOR (v, V)                                                                            \
                run[m][v] = vfmaq_n_f16(run[m][v], w[v], X);                                         \
    }
    const uint8_t *a_row = t->a, *b_row = t->b;
    size_t in_run = g->in_run;
    for (size_t row = g->rows; row; row--) {
        const uint8_t *a = a_row, *b = b_row;
        for (size_t left = g->k; left;) {
            size_t k = left < PE_FAST16_RUN - in_run ? left : PE_FAST16_RUN - in_run;
            left -= k;
            in_run += k;
            if (BY_K) {
                float16x8_t x[8];
                for (; k >= 8; k -= 8, a += 8 * a_bytes) {
                    PE_FOR (m, M)
                        x[m] = load_8(a + (size_t)m * a_m, a_is_f16);
                    STEP(x[m][0])
                    STEP(x[m][1])
                    STEP(x[m][2])
                    STEP(x[m][3])
                    STEP(x[m][4])
                    STEP(x[m][5])
                    STEP(x[m][6])
                    STEP(x[m][7])
                }
                for (; k; k--, a += a_bytes) {
                    PE_FOR (m, M)
                        x[m] = all_of(a + (size_t)m * a_m, a_is_f16);
                    STEP(x[m][0])
                }
            } else {
#pragma GCC unroll 4
                for (; k; k--, a += a_k) {
                    const float16x8_t x = M == 1   ? all_of(a, a_is_f16)
                                          : M == 4 ? load_4(a, a_is_f16)
                                                   : load_8(a, a_is_f16);
                    STEP(x[m])
                }
            }
            if (in_run == PE_FAST16_RUN) {
                PE_FOR (m, M)
                    PE_FOR (v, V) {
                        flush(t->c + (size_t)m * c_m + 8 * v, run[m][v], n, PART);
                        run[m][v] = vdupq_n_f16(0);
                    }
                in_run = 0;
            }
        }
        a_row += g->a_row * (ptrdiff_t)a_bytes;
        b_row += g->b_row * (ptrdiff_t)b_bytes;
    }
#undef STEP
    PE_FOR (m, M)
        PE_FOR (v, V)
            store(t->runs + (size_t)m * c_m + 8 * v, run[m][v], n, PART);
}

PE_INLINE void tile(const pe_acc_geometry *g, const pe_acc_tile *t, const int M, const int V, const bool PART,
                    const bool BY_K)
{
    tile_of(g, t, M, V, PART, BY_K, true, true);
}

/* Of operands of two types, or of floats. */
PE_INLINE void mixed(const pe_acc_geometry *g, const pe_acc_tile *t, const int M, const int V, const bool PART,
                     const bool BY_K)
{
    tile_of(g, t, M, V, PART, BY_K, g->a_is_f16, g->b_is_f16);
}

PE_ACC_TILES(by_k, tile, true)
PE_ACC_TILES(by_m, tile, false)
PE_ACC_TILES(mixed_by_k, mixed, true)
PE_ACC_TILES(mixed_by_m, mixed, false)

void pe_gemm_acc_fast16__fp16_8x16(const pe_acc_geometry *g, const void *a, const void *b, float *c, uint16_t *runs)
{
    if (g->a_is_f16 && g->b_is_f16)
        pe_acc_walk(g, g->a_k == 1 ? by_k : by_m, 8, a, b, c, runs);
    else
        pe_acc_walk(g, g->a_k == 1 ? mixed_by_k : mixed_by_m, 8, a, b, c, runs);
}
