/* Weights of floats in the order in which tiles read them, by vectors: those that learn are packed before each run. */
#ifndef PE_X86_PACK_F32_H
#define PE_X86_PACK_F32_H
#include "kernels/layers.h"
#include "kernels/place.h"
#include "kernels/x86/f32.h"

/* Rows 4 l + i in block l of r[i], four floats each; columns come out, row 4 l + e in element e of block l. */
PE_INLINE void pe_turn_fours(pe_f32v r[4])
{
#ifdef __AVX512F__
    const pe_f32v a = _mm512_unpacklo_ps(r[0], r[1]), b = _mm512_unpackhi_ps(r[0], r[1]);
    const pe_f32v c = _mm512_unpacklo_ps(r[2], r[3]), d = _mm512_unpackhi_ps(r[2], r[3]);
    r[0] = _mm512_shuffle_ps(a, c, 0x44);
    r[1] = _mm512_shuffle_ps(a, c, 0xEE);
    r[2] = _mm512_shuffle_ps(b, d, 0x44);
    r[3] = _mm512_shuffle_ps(b, d, 0xEE);
#else
    const pe_f32v a = _mm256_unpacklo_ps(r[0], r[1]), b = _mm256_unpackhi_ps(r[0], r[1]);
    const pe_f32v c = _mm256_unpacklo_ps(r[2], r[3]), d = _mm256_unpackhi_ps(r[2], r[3]);
    r[0] = _mm256_shuffle_ps(a, c, 0x44);
    r[1] = _mm256_shuffle_ps(a, c, 0xEE);
    r[2] = _mm256_shuffle_ps(b, d, 0x44);
    r[3] = _mm256_shuffle_ps(b, d, 0xEE);
#endif
}

/* Four floats of rows i, i + 4 .. from column k on. */
PE_INLINE pe_f32v pe_fours(const float *const *rows, const int i, size_t k)
{
#ifdef __AVX512F__
    __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(rows[i] + k));
    v = _mm512_insertf32x4(v, _mm_loadu_ps(rows[i + 4] + k), 1);
    v = _mm512_insertf32x4(v, _mm_loadu_ps(rows[i + 8] + k), 2);
    return _mm512_insertf32x4(v, _mm_loadu_ps(rows[i + 12] + k), 3);
#else
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(rows[i] + k)), _mm_loadu_ps(rows[i + 4] + k), 1);
#endif
}

/* to[k * width + n] = from[n * stride + k], for n rows of k floats. width: whole vectors; what is behind n is any row. */
static inline void pe_pack_transposed(float *to, size_t width, const float *from, size_t stride, size_t n, size_t k)
{
    for (size_t first = 0; first < n; first += PE_LANES, to += PE_LANES) {
        const float *rows[PE_LANES];
        for (size_t i = 0; i < PE_LANES; i++)
            rows[i] = from + (first + i < n ? first + i : first) * stride;
        size_t at = 0;
        for (; at + 4 <= k; at += 4) {
            pe_f32v r[4];
            PE_FOR (i, 4)
                r[i] = pe_fours(rows, i, at);
            pe_turn_fours(r);
            PE_FOR (i, 4)
                pe_f32v_store(to + (at + (size_t)i) * width, r[i]);
        }
        for (; at < k; at++)
            for (size_t i = 0; i < PE_LANES; i++)
                to[at * width + i] = rows[i][at];
    }
}

/* n neighbours, and zeros up to the end of the last vector. */
static inline void pe_pack_row(float *to, const float *from, size_t n)
{
    size_t i = 0;
    for (; i + PE_LANES <= n; i += PE_LANES)
        pe_f32v_store(to + i, pe_f32v_load(from + i));
    if (i < n)
        pe_f32v_store(to + i, pe_f32v_load_first(from + i, n - i));
}
#endif
