/* Floats in vectors of the level that a file is compiled for: one text for AVX2 with FMA and for AVX-512.
 *
 * Lanes are different outputs, never parts of one sum, so that each sum is that of the portable kernel. */
#ifndef PE_X86_F32_H
#define PE_X86_F32_H
#include "kernels/fma.h"
#include "kernels/x86/level.h"

#ifdef __AVX512F__

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

PE_INLINE pe_f32v pe_f32v_sub(pe_f32v a, pe_f32v b)
{
    return _mm512_sub_ps(a, b);
}

PE_INLINE pe_f32v pe_f32v_mul(pe_f32v a, pe_f32v b)
{
    return _mm512_mul_ps(a, b);
}

PE_INLINE pe_f32v pe_f32v_div(pe_f32v a, pe_f32v b)
{
    return _mm512_div_ps(a, b);
}

PE_INLINE pe_f32v pe_f32v_sqrt(pe_f32v x)
{
    return _mm512_sqrt_ps(x);
}

/* The larger, the smaller; b where both are zeros or one is NaN. */
PE_INLINE pe_f32v pe_f32v_max(pe_f32v a, pe_f32v b)
{
    return _mm512_max_ps(a, b);
}

PE_INLINE pe_f32v pe_f32v_min(pe_f32v a, pe_f32v b)
{
    return _mm512_min_ps(a, b);
}

#else

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

PE_INLINE pe_f32v pe_f32v_sub(pe_f32v a, pe_f32v b)
{
    return _mm256_sub_ps(a, b);
}

PE_INLINE pe_f32v pe_f32v_mul(pe_f32v a, pe_f32v b)
{
    return _mm256_mul_ps(a, b);
}

PE_INLINE pe_f32v pe_f32v_div(pe_f32v a, pe_f32v b)
{
    return _mm256_div_ps(a, b);
}

PE_INLINE pe_f32v pe_f32v_sqrt(pe_f32v x)
{
    return _mm256_sqrt_ps(x);
}

PE_INLINE pe_f32v pe_f32v_max(pe_f32v a, pe_f32v b)
{
    return _mm256_max_ps(a, b);
}

PE_INLINE pe_f32v pe_f32v_min(pe_f32v a, pe_f32v b)
{
    return _mm256_min_ps(a, b);
}

#endif

/* pe_clip_f32 in three instructions. x's zero survives a comparison with a bound of zero: added to it, +0 makes every zero
 * +0, the bound, and -0 changes nothing. So no bound may be -0. */
typedef struct pe_clip {
    float min, max;
} pe_clip;

typedef struct pe_clip_v {
    pe_f32v min, max, plus;
} pe_clip_v;

static inline bool pe_clip_fits(const pe_clip *c)
{
    return pe_float_bits(c->min) != 1u << 31 && pe_float_bits(c->max) != 1u << 31;
}

PE_INLINE pe_clip_v pe_clip_all(const pe_clip *c)
{
    const float plus = c->min == 0 || c->max == 0 ? 0.0f : -0.0f;
    return (pe_clip_v){pe_f32v_all(c->min), pe_f32v_all(c->max), pe_f32v_all(plus)};
}

PE_INLINE pe_f32v pe_f32v_clip(pe_f32v x, const pe_clip_v *c)
{
    return pe_f32v_add(pe_f32v_min(c->max, pe_f32v_max(c->min, x)), c->plus);
}

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

/* Runs AT(address, index) for pixel p; at8 is pixel 8. In assembly, because compilers keep an offset for each pixel and
 * spill most of them. Scaled by 1, 2 and 4, the four steps reach 8 pixels from one base. */
#define PE_PIXEL(AT)                          \
    const float *base = p < 8 ? at : at8;     \
    switch (p % 8) {                          \
    case 0: AT("(%1)", s->one); break;        \
    case 1: AT("(%1,%2)", s->one); break;     \
    case 2: AT("(%1,%2,2)", s->one); break;   \
    case 3: AT("(%1,%2)", s->three); break;   \
    case 4: AT("(%1,%2,4)", s->one); break;   \
    case 5: AT("(%1,%2)", s->five); break;    \
    case 6: AT("(%1,%2,2)", s->three); break; \
    default: AT("(%1,%2)", s->seven); break;  \
    }
#define PE_MEMORY "m"(*(const uint8_t(*)[PE_REACH])base)

/* One float of the pixel in all lanes. */
PE_INLINE pe_f32v pe_pixel_broadcast(const float *at, const float *at8, const pe_steps *s, const int p)
{
    pe_f32v x;
#define AT(address, index) __asm__("vbroadcastss " address ", %0" : "=v"(x) : "r"(base), "r"(index), PE_MEMORY)
    PE_PIXEL(AT)
#undef AT
    return x;
}

#ifdef __AVX512F__
/* The same of two floats, over and over. */
PE_INLINE pe_f32v pe_pixel_broadcast2(const float *at, const float *at8, const pe_steps *s, const int p)
{
    pe_f32v x;
#define AT(address, index) __asm__("vbroadcastsd " address ", %0" : "=v"(x) : "r"(base), "r"(index), PE_MEMORY)
    PE_PIXEL(AT)
#undef AT
    return x;
}
#endif

/* sum + x * w, x being vectors of the pixel. With intrinsics GCC 12 loads ahead, spills, and computes one sum after the
 * other. */
PE_INLINE pe_f32v pe_pixel_fma(pe_f32v sum, pe_f32v w, const float *at, const pe_steps *s, const int p)
{
    const float *const at8 = at; /* p < 8 */
#define AT(address, index) \
    __asm__("vfmadd231ps " address ", %3, %0" : "+v"(sum) : "r"(base), "r"(index), "v"(w), PE_MEMORY)
    PE_PIXEL(AT)
#undef AT
    return sum;
}
#endif
