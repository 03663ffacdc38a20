/* Integers in vectors of the level that a file is compiled for, and requantization with the same factor for all lanes. */
#ifndef PE_X86_S32_H
#define PE_X86_S32_H
#include "kernels/x86/level.h"
#include "ops/requantize.h"

/* PE_IV(add_epi32) is _mm512_add_epi32 or _mm256_add_epi32, PE_IV_SI(xor) _mm512_xor_si512 or _mm256_xor_si256. */
#ifdef __AVX512F__
typedef __m512i pe_iv;
#define PE_IV(name) _mm512_##name
#define PE_IV_SI(name) _mm512_##name##_si512
#define PE_IV_64 _mm512_set1_epi64
#else
typedef __m256i pe_iv;
#define PE_IV(name) _mm256_##name
#define PE_IV_SI(name) _mm256_##name##_si256
#define PE_IV_64 _mm256_set1_epi64x
#endif

/* Lanes of 32 bits: the even ones of a, the odd ones of b. */
PE_INLINE pe_iv pe_iv_merge(pe_iv a, pe_iv b)
{
#ifdef __AVX512F__
    return _mm512_mask_mov_epi32(a, 0xAAAA, b);
#else
    return _mm256_blend_epi32(a, b, 0xAA);
#endif
}

/* -1 where a > b, else 0. */
PE_INLINE pe_iv pe_iv_greater(pe_iv a, pe_iv b)
{
#ifdef __AVX512F__
    return _mm512_movm_epi32(_mm512_cmpgt_epi32_mask(a, b));
#else
    return _mm256_cmpgt_epi32(a, b);
#endif
}

/* sum + products of neighbours, int16 by int16. */
PE_INLINE pe_iv pe_iv_dot2(pe_iv sum, pe_iv a, pe_iv b)
{
#ifdef __AVX512VNNI__
    return _mm512_dpwssd_epi32(sum, a, b);
#else
    return PE_IV(add_epi32)(sum, PE_IV(madd_epi16)(a, b));
#endif
}

/* The first n of PE_LANES bytes, 1 <= n, as int32; 0 in other lanes. */
PE_INLINE pe_iv pe_iv_load_s8(const int8_t *p, size_t n)
{
#ifdef __AVX512F__
    return _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8((__mmask16)(n >= 16 ? 0xFFFF : (1u << n) - 1), p));
#else
    int8_t part[8] = {0};
    for (size_t i = 0; n < 8 && i < n; i++)
        part[i] = p[i];
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)(n < 8 ? part : p)));
#endif
}

/* The first n lanes as bytes; their values are those of int8. */
PE_INLINE void pe_iv_store_s8(int8_t *p, pe_iv x, size_t n)
{
#ifdef __AVX512F__
    _mm_mask_storeu_epi8(p, (__mmask16)(n >= 16 ? 0xFFFF : (1u << n) - 1), _mm512_cvtepi32_epi8(x));
#else
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(x, x), 0x08);
    const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_castsi256_si128(words));
    int8_t part[8];
    _mm_storel_epi64((void *)(n < 8 ? part : p), bytes);
    for (size_t i = 0; n < 8 && i < n; i++)
        p[i] = part[i];
#endif
}

/* What pe_requantize multiplies with, for all lanes. */
typedef struct pe_factor {
    pe_iv multiplier;
    __m128i left, right;
} pe_factor;

PE_INLINE pe_factor pe_factor_of(int32_t multiplier, int32_t shift)
{
    return (pe_factor){PE_IV(set1_epi32)(multiplier & INT32_MAX),
                       _mm_cvtsi32_si128(shift < 0 ? (int32_t)((0u - (uint32_t)shift) & 31) : 0),
                       _mm_cvtsi32_si128(shift > 0 ? shift & 31 : 0)};
}

/* pe_requantize. */
PE_INLINE pe_iv pe_iv_requantize(pe_iv x, const pe_factor *f)
{
    const pe_iv half = PE_IV_64(1 << 30), one = PE_IV(set1_epi32)(1);
    x = PE_IV(sll_epi32)(x, f->left);
    pe_iv even = PE_IV(mul_epi32)(x, f->multiplier);
    pe_iv odd = PE_IV(mul_epi32)(PE_IV(srli_epi64)(x, 32), f->multiplier);
    even = PE_IV(srli_epi64)(PE_IV(add_epi64)(even, half), 31);
    odd = PE_IV(slli_epi64)(PE_IV(add_epi64)(odd, half), 1);
    const pe_iv h = pe_iv_merge(even, odd);
    const pe_iv mask = PE_IV(sub_epi32)(PE_IV(sll_epi32)(one, f->right), one);
    const pe_iv limit = PE_IV(add_epi32)(PE_IV(srli_epi32)(mask, 1), PE_IV(srli_epi32)(h, 31));
    const pe_iv up = pe_iv_greater(PE_IV_SI(and)(h, mask), limit);
    return PE_IV(sub_epi32)(PE_IV(sra_epi32)(h, f->right), up);
}

/* pe_output_to_s8, as int32. */
PE_INLINE pe_iv pe_iv_output(pe_iv y, const pe_output_s8 *out)
{
    const pe_iv zero = PE_IV(set1_epi32)(out->zero_point);
    const pe_iv low = PE_IV(set1_epi32)(out->min - out->zero_point),
                high = PE_IV(set1_epi32)(out->max - out->zero_point);
    return PE_IV(add_epi32)(PE_IV(min_epi32)(PE_IV(max_epi32)(y, low), high), zero);
}
#endif
