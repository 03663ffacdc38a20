/* 16 int32 sums at once to int8, with the bits of pe_requantize_s8 (docs/arithmetic.md, "Requantize").
 *
 * Activations are taken as u = x + 128, unsigned, as vpdpbusd wants them; 128 times the sum of the weights goes off the
 * bias. With the weights, the range of a channel's sums is known when they are packed, and so is which of these forms
 * gives the specified bits for every sum in that range; it is one for all channels of a block.
 *
 * PE_RQ_FLOAT, 3 instructions: round(fma(sum, scale, offset)). Both this and the specified result are monotone staircases
 * in the sum, so they are equal if they are at both ends of the range and on both sides of each step in between: at most
 * 255 steps. Which scale and offset do is searched for; if none does, the next form is tried.
 *
 * PE_RQ_FLOAT_SIGNED, 5 instructions: the same with an offset that takes the sign of the sum, plus the zero point, for
 * results on both sides of it, because halves go away from it.
 *
 * PE_RQ_INT, 7 instructions, without 64-bit shifts. The bias has 2^31 in it, which makes the sum unsigned: s' = s + 2^31.
 * The high word of s' * 2m + c, c = 2^31 - 2^31 * 2m + (2^(n-1) + zero_point * 2^n) * 2^32, is h + 2^(n-1) + zero_point *
 * 2^n, h being the first rounding; >> n gives the second, for h >= 0. Where h < 0 halves go the other way, which matters
 * only if results below the zero point are not clamped: PE_RQ_INT_SIGNED takes 1 off, 2 more instructions. (For a sum
 * below 0 with h = 0 that changes nothing.)
 *
 * PE_RQ_ANY, about 20 instructions: step by step, for every multiplier, shift and sum. */
#ifndef PE_AVX512_REQUANTIZE_H
#define PE_AVX512_REQUANTIZE_H
#include <immintrin.h>
#include <stdbool.h>

#include "ops/requantize.h"

#define PE_INLINE static inline __attribute__((always_inline))
/* for (int i = 0; i < n; i++), unrolled whole: n is a constant of the tile. */
#define PE_FOR(i, n) _Pragma("GCC unroll 32") for (int i = 0; i < (n); i++)

typedef enum pe_rq_form { PE_RQ_FLOAT, PE_RQ_FLOAT_SIGNED, PE_RQ_INT, PE_RQ_INT_SIGNED, PE_RQ_ANY } pe_rq_form;

/* What 16 channels need. Lane i holds whatever channel the kernel put there. */
typedef struct pe_rq16 {
    int32_t bias[16]; /* the sum starts with it */
    union {
        struct {
            float scale[16], offset[16];
        } f;
        struct {
            uint32_t twice[16], twice_odd[16]; /* 2 * multiplier; of the odd lanes, in the even ones before them */
            uint64_t c_even[8], c_odd[8];
            int32_t shift[16];
        } i;
        struct {
            int32_t multiplier[16], left[16], right[16];
        } any;
    };
} __attribute__((aligned(64))) pe_rq16;

/* One channel of a layer: its constants and, from its weights, the range of u . w. */
typedef struct pe_rq_channel {
    pe_channel q;       /* as in the plan */
    int32_t weight_sum; /* of all weights */
    int64_t low, high;  /* of the sum of u * w over all u in 0 .. 255 */
} pe_rq_channel;

/* Adds a run of n weights of a channel to weight_sum, low and high. */
void pe_rq_add_weights(pe_rq_channel *c, const int8_t *w, size_t n, size_t stride);

/* The form that n channels can share, and with the float forms their scales and offsets, [n] each. n <= 128. */
pe_rq_form pe_rq_choose(const pe_rq_channel *c, size_t n, const pe_output_s8 *out, float *scale, float *offset);

/* Writes a channel to lane i. scale, offset: of the float forms. */
void pe_rq_set(pe_rq16 *to, size_t lane, pe_rq_form form, const pe_rq_channel *c, const pe_output_s8 *out, float scale,
               float offset);

/* What the sum of a channel starts with; pe_rq_set writes it to bias. */
int32_t pe_rq_start(pe_rq_form form, const pe_rq_channel *c);

#define PE_LOAD(p) _mm512_load_si512((const void *)(p))

/* Values of form PE_RQ_ANY, clamped. */
PE_INLINE __m512i pe_rq16_any(__m512i sum, const pe_rq16 *q, const pe_output_s8 *out)
{
    const __m512i one = _mm512_set1_epi32(1), half = _mm512_set1_epi64(1 << 30);
    const __m512i x = _mm512_sllv_epi32(sum, PE_LOAD(q->any.left)), m = PE_LOAD(q->any.multiplier);
    __m512i even = _mm512_mul_epi32(x, m), odd = _mm512_mul_epi32(_mm512_srli_epi64(x, 32), _mm512_srli_epi64(m, 32));
    even = _mm512_srli_epi64(_mm512_add_epi64(even, half), 31);
    odd = _mm512_slli_epi64(_mm512_add_epi64(odd, half), 1);
    const __m512i h = _mm512_mask_mov_epi32(even, 0xAAAA, odd), right = PE_LOAD(q->any.right);
    const __m512i mask = _mm512_sub_epi32(_mm512_sllv_epi32(one, right), one);
    const __m512i limit = _mm512_add_epi32(_mm512_srli_epi32(mask, 1), _mm512_srli_epi32(h, 31));
    const __mmask16 up = _mm512_cmpgt_epu32_mask(_mm512_and_si512(h, mask), limit);
    const __m512i floor = _mm512_srav_epi32(h, right), y = _mm512_mask_add_epi32(floor, up, floor, one);
    const __m512i z = _mm512_set1_epi32(out->zero_point);
    const __m512i low = _mm512_sub_epi32(_mm512_set1_epi32(out->min), z);
    const __m512i high = _mm512_sub_epi32(_mm512_set1_epi32(out->max), z);
    return _mm512_add_epi32(_mm512_min_epi32(_mm512_max_epi32(y, low), high), z);
}

/* Results of the float forms, before clamps. */
PE_INLINE __m512i pe_rq16_float(__m512i sum, __m512 scale, __m512 offset, const pe_output_s8 *out,
                                const pe_rq_form form)
{
    enum { NEAREST = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC, XOR_AND = 0x78 /* a ^ (b & c) */ };
    const __m512 x = _mm512_cvt_roundepi32_ps(sum, NEAREST);
    if (form == PE_RQ_FLOAT)
        return _mm512_cvt_roundps_epi32(_mm512_fmadd_round_ps(x, scale, offset, NEAREST), NEAREST);
    const __m512i sign = _mm512_set1_epi32(INT32_MIN);
    const __m512i o = _mm512_ternarylogic_epi32(_mm512_castps_si512(offset), sign, _mm512_castps_si512(x), XOR_AND);
    const __m512i y =
        _mm512_cvt_roundps_epi32(_mm512_fmadd_round_ps(x, scale, _mm512_castsi512_ps(o), NEAREST), NEAREST);
    return _mm512_add_epi32(y, _mm512_set1_epi32(out->zero_point));
}

/* Results as int32, still to be saturated to int8 and clamped. */
PE_INLINE __m512i pe_rq16_apply(__m512i sum, const pe_rq16 *q, const pe_output_s8 *out, const pe_rq_form form)
{
    if (form == PE_RQ_FLOAT || form == PE_RQ_FLOAT_SIGNED)
        return pe_rq16_float(sum, _mm512_load_ps(q->f.scale), _mm512_load_ps(q->f.offset), out, form);
    if (form == PE_RQ_ANY)
        return pe_rq16_any(sum, q, out);
    const __m512i even = _mm512_add_epi64(_mm512_mul_epu32(sum, PE_LOAD(q->i.twice)), PE_LOAD(q->i.c_even));
    const __m512i odd =
        _mm512_add_epi64(_mm512_mul_epu32(_mm512_srli_epi64(sum, 32), PE_LOAD(q->i.twice_odd)), PE_LOAD(q->i.c_odd));
    __m512i h = _mm512_mask_shuffle_epi32(odd, 0x5555, even, 0xF5);
    if (form == PE_RQ_INT_SIGNED) /* the top bit of s + 2^31 is clear for s < 0 */
        h = _mm512_mask_add_epi32(h, _knot_mask16(_mm512_movepi32_mask(sum)), h, _mm512_set1_epi32(-1));
    return _mm512_srav_epi32(h, PE_LOAD(q->i.shift));
}

/* The clamp of an output, which saturation often is already. */
typedef struct pe_clamp {
    __m512i min, max;
    bool needed;
} pe_clamp;

PE_INLINE pe_clamp pe_clamp_of(const pe_output_s8 *out)
{
    return (pe_clamp){_mm512_set1_epi8((int8_t)out->min), _mm512_set1_epi8((int8_t)out->max),
                      out->min > -128 || out->max < 127};
}

/* Four vectors of results to 64 int8 in the order of the packs: in each 128-bit lane 4 of a, of b, of c, of d. */
PE_INLINE __m512i pe_pack64(__m512i a, __m512i b, __m512i c, __m512i d, const pe_clamp *clamp)
{
    const __m512i y = _mm512_packs_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
    return clamp->needed ? _mm512_min_epi8(_mm512_max_epi8(y, clamp->min), clamp->max) : y;
}

/* sum + u . w in each of 16 lanes of 4 bytes. In assembly, because GCC 12 copies the accumulators of the intrinsic around
 * every product and folds the loads of w into each: 55 % of the peak instead of 90 (-O3, a tile of 16 x 16). */
PE_INLINE __m512i pe_dot4(__m512i sum, __m512i u, __m512i w)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(u), "v"(w));
    return sum;
}

/* The same with weights in memory, at a constant offset from w. GCC 12 would keep the address of each in a register, and
 * spills them. */
PE_INLINE __m512i pe_dot4_m(__m512i sum, __m512i u, const int8_t *w, const int offset)
{
    __asm__("vpdpbusd %c3(%2), %1, %0"
            : "+v"(sum)
            : "v"(u), "r"(w), "i"(offset), "m"(*(const __m512i *)(const void *)w));
    return sum;
}

PE_INLINE __m512i pe_broadcast4(const uint8_t *p)
{
    int32_t x;
    __builtin_memcpy(&x, p, 4);
    return _mm512_set1_epi32(x);
}

/* The first n of 64, n of 0 .. 64 or more. */
PE_INLINE __mmask64 pe_first64(size_t n)
{
    return n >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << n) - 1;
}
#endif
