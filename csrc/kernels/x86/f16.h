/* float16 in memory, floats in registers; as f32.h one text for both levels. */
#ifndef PE_X86_F16_H
#define PE_X86_F16_H
#include "kernels/f16.h"
#include "kernels/x86/f32.h"

#ifdef __AVX512F__

PE_INLINE pe_f32v pe_f16v_load(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

/* The first n lanes, 1 <= n <= PE_LANES; others are 0, or not stored. */
PE_INLINE pe_f32v pe_f16v_load_first(const uint16_t *p, size_t n)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16((__mmask16)(0xFFFFu >> (16 - n)), p));
}

PE_INLINE void pe_f16v_store_first(uint16_t *p, pe_f32v x, size_t n)
{
    _mm256_mask_storeu_epi16(p, (__mmask16)(0xFFFFu >> (16 - n)), _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

/* Values that a float16 has. */
PE_INLINE pe_f32v pe_f16v_round(pe_f32v x)
{
    return _mm512_cvtph_ps(_mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

/* pe_fma16 of values that float16 has. The sum is rounded to odd first (fma.h, pe_fmaf_double): where it is not exact, that
 * rounded down and that rounded up are neighbours, one of which is odd. Of zeros of both signs the one rounded up is +0. */
PE_INLINE pe_f32v pe_f16v_fma(pe_f32v a, pe_f32v b, pe_f32v c)
{
    const __m512 down = _mm512_fmadd_round_ps(a, b, c, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    const __m512 up = _mm512_fmadd_round_ps(a, b, c, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
    const __mmask16 odd = _mm512_test_epi32_mask(_mm512_castps_si512(down), _mm512_set1_epi32(1));
    return pe_f16v_round(_mm512_mask_mov_ps(up, odd, down));
}

#else

PE_INLINE pe_f32v pe_f16v_load(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

/* The first n lanes, 1 <= n <= PE_LANES; others are 0, or not stored. */
PE_INLINE pe_f32v pe_f16v_load_first(const uint16_t *p, size_t n)
{
    uint16_t lanes[PE_LANES] = {0};
    __builtin_memcpy(lanes, p, n * sizeof *p);
    return pe_f16v_load(lanes);
}

PE_INLINE void pe_f16v_store_first(uint16_t *p, pe_f32v x, size_t n)
{
    uint16_t lanes[PE_LANES];
    _mm_storeu_si128((__m128i *)lanes, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
    __builtin_memcpy(p, lanes, n * sizeof *p);
}

/* Values that a float16 has. */
PE_INLINE pe_f32v pe_f16v_round(pe_f32v x)
{
    return _mm256_cvtph_ps(_mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

/* pe_fma16 of values that float16 has. The product is exact, the sum is rounded to odd first, as in pe_fmaf_double
 * (fma.h). */
PE_INLINE pe_f32v pe_f16v_fma(pe_f32v a, pe_f32v b, pe_f32v c)
{
    const __m256 product = _mm256_mul_ps(a, b), sum = _mm256_add_ps(product, c), part = _mm256_sub_ps(sum, product);
    const __m256 error = _mm256_add_ps(_mm256_sub_ps(product, _mm256_sub_ps(sum, part)), _mm256_sub_ps(c, part));
    const __m256i bits = _mm256_castps_si256(sum);
    const __m256i back = _mm256_srai_epi32(_mm256_castps_si256(_mm256_xor_ps(error, sum)), 31);
    const __m256i odd = _mm256_or_si256(_mm256_add_epi32(bits, back), _mm256_set1_epi32(1));
    const __m256 inexact = _mm256_cmp_ps(error, _mm256_setzero_ps(), _CMP_NEQ_OQ);
    return pe_f16v_round(_mm256_blendv_ps(sum, _mm256_castsi256_ps(odd), inexact));
}

#endif

/* Elements of float16 or of floats, from `at` on: n >= 1, of which a vector has at most PE_LANES; lanes behind them are 0, or
 * not stored. */
PE_INLINE pe_f32v pe_floatv_load(const void *x, size_t at, size_t n, bool is_f16)
{
    const uint16_t *halves = (const uint16_t *)x + at;
    const float *floats = (const float *)x + at;
    if (is_f16)
        return n >= PE_LANES ? pe_f16v_load(halves) : pe_f16v_load_first(halves, n);
    return n >= PE_LANES ? pe_f32v_load(floats) : pe_f32v_load_first(floats, n);
}

PE_INLINE void pe_floatv_store(void *y, size_t at, pe_f32v v, size_t n, bool is_f16)
{
    float *floats = (float *)y + at;
    if (is_f16)
        pe_f16v_store_first((uint16_t *)y + at, v, n < PE_LANES ? n : PE_LANES);
    else if (n >= PE_LANES)
        pe_f32v_store(floats, v);
    else
        pe_f32v_store_first(floats, v, n);
}

/* n floats from a run of x, float16 or float. */
static inline void pe_f16v_widen(float *to, const void *x, size_t first, size_t n, bool is_f16)
{
    for (size_t i = 0; i < n; i += PE_LANES)
        pe_floatv_store(to, i, pe_floatv_load(x, first + i, n - i, is_f16), n - i, false);
}

#endif
