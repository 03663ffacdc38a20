/* Floats in vectors of the level that a file is compiled for: one text for AVX2 with FMA and for AVX-512. The files of
 * this folder are included by one file a level (avx2/, avx512/), which has its flags.
 *
 * Lanes are different outputs, never parts of one sum, so that each sum is that of the portable kernel. */
#ifndef PE_X86_F32_H
#define PE_X86_F32_H
#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PE_INLINE static inline __attribute__((always_inline))
/* for (int i = 0; i < n; i++), unrolled whole: n is a constant of the tile. */
#define PE_FOR(i, n) _Pragma("GCC unroll 32") for (int i = 0; i < (n); i++)

#ifdef __AVX512F__

#define PE_LEVEL(name) name##__avx512
#define PE_LEVEL_NAME(name) #name "__avx512"
enum { PE_LANES = 16 };
typedef __m512 pe_f32v;

PE_INLINE pe_f32v pe_f32v_all(float x)
{
    return _mm512_set1_ps(x);
}

PE_INLINE pe_f32v pe_f32v_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

PE_INLINE void pe_f32v_store(float *p, pe_f32v x)
{
    _mm512_storeu_ps(p, x);
}

/* The first n lanes, 1 <= n <= PE_LANES; others are 0, or not stored. */
PE_INLINE pe_f32v pe_f32v_load_first(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps((__mmask16)(0xFFFFu >> (16 - n)), p);
}

PE_INLINE void pe_f32v_store_first(float *p, pe_f32v x, size_t n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)(0xFFFFu >> (16 - n)), x);
}

PE_INLINE pe_f32v pe_f32v_fma(pe_f32v a, pe_f32v b, pe_f32v c)
{
    return _mm512_fmadd_ps(a, b, c);
}

PE_INLINE pe_f32v pe_f32v_add(pe_f32v a, pe_f32v b)
{
    return _mm512_add_ps(a, b);
}

PE_INLINE pe_f32v pe_f32v_div(pe_f32v a, pe_f32v b)
{
    return _mm512_div_ps(a, b);
}

/* pe_clip_f32 */
PE_INLINE pe_f32v pe_f32v_clip(pe_f32v x, pe_f32v min, pe_f32v max)
{
    const __mmask16 low = _mm512_cmp_ps_mask(x, min, _CMP_LE_OQ), high = _mm512_cmp_ps_mask(max, x, _CMP_LE_OQ);
    return _mm512_mask_mov_ps(_mm512_mask_mov_ps(x, high, max), low, min);
}

#else

#define PE_LEVEL(name) name##__avx2
#define PE_LEVEL_NAME(name) #name "__avx2"
enum { PE_LANES = 8 };
typedef __m256 pe_f32v;

PE_INLINE pe_f32v pe_f32v_all(float x)
{
    return _mm256_set1_ps(x);
}

PE_INLINE pe_f32v pe_f32v_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

PE_INLINE void pe_f32v_store(float *p, pe_f32v x)
{
    _mm256_storeu_ps(p, x);
}

PE_INLINE __m256i pe_first8(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* The first n lanes, 1 <= n <= PE_LANES; others are 0, or not stored. */
PE_INLINE pe_f32v pe_f32v_load_first(const float *p, size_t n)
{
    return _mm256_maskload_ps(p, pe_first8(n));
}

PE_INLINE void pe_f32v_store_first(float *p, pe_f32v x, size_t n)
{
    _mm256_maskstore_ps(p, pe_first8(n), x);
}

PE_INLINE pe_f32v pe_f32v_fma(pe_f32v a, pe_f32v b, pe_f32v c)
{
    return _mm256_fmadd_ps(a, b, c);
}

PE_INLINE pe_f32v pe_f32v_add(pe_f32v a, pe_f32v b)
{
    return _mm256_add_ps(a, b);
}

PE_INLINE pe_f32v pe_f32v_div(pe_f32v a, pe_f32v b)
{
    return _mm256_div_ps(a, b);
}

/* pe_clip_f32 */
PE_INLINE pe_f32v pe_f32v_clip(pe_f32v x, pe_f32v min, pe_f32v max)
{
    const __m256 low = _mm256_cmp_ps(x, min, _CMP_LE_OQ), high = _mm256_cmp_ps(max, x, _CMP_LE_OQ);
    return _mm256_blendv_ps(_mm256_blendv_ps(x, max, high), min, low);
}

#endif

/* Multiples of the distance of two pixels, bytes. */
typedef struct pe_steps {
    size_t one, three, five, seven;
} pe_steps;

PE_INLINE pe_steps pe_steps_of(size_t floats)
{
    const size_t step = floats * sizeof(float);
    return (pe_steps){step, 3 * step, 5 * step, 7 * step};
}

#define PE_REACH (1 << 20) /* bytes behind base that the assembly is said to read */
#define PE_FETCH_AT(instruction, address, index) \
    __asm__(instruction " " address ", %0" : "=v"(x) : "r"(base), "r"(index), "m"(*(const uint8_t(*)[PE_REACH])base))

/* What `instruction` loads at pixel p; at8 is pixel 8. In assembly, because compilers keep an offset for each pixel and
 * spill most of them. Scaled by 1, 2 and 4, the four steps reach 8 pixels from one base. */
#define PE_FETCH(name, instruction)                                                           \
    PE_INLINE pe_f32v name(const float *at, const float *at8, const pe_steps *s, const int p) \
    {                                                                                         \
        const float *base = p < 8 ? at : at8;                                                 \
        pe_f32v x;                                                                            \
        switch (p % 8) {                                                                      \
        case 0: PE_FETCH_AT(instruction, "(%1)", s->one); break;                              \
        case 1: PE_FETCH_AT(instruction, "(%1,%2)", s->one); break;                           \
        case 2: PE_FETCH_AT(instruction, "(%1,%2,2)", s->one); break;                         \
        case 3: PE_FETCH_AT(instruction, "(%1,%2)", s->three); break;                         \
        case 4: PE_FETCH_AT(instruction, "(%1,%2,4)", s->one); break;                         \
        case 5: PE_FETCH_AT(instruction, "(%1,%2)", s->five); break;                          \
        case 6: PE_FETCH_AT(instruction, "(%1,%2,2)", s->three); break;                       \
        default: PE_FETCH_AT(instruction, "(%1,%2)", s->seven); break;                        \
        }                                                                                     \
        return x;                                                                             \
    }
PE_FETCH(pe_pixel_broadcast, "vbroadcastss")
PE_FETCH(pe_pixel_load, "vmovups")
#endif
