#include "kernels/avx512/requantize.h"
#include "kernels/layers.h"

/* add_s8 of two tensors of one shape.
 *
 * The specified result, three requantizations, is a function of 65,536 pairs. With u = x + 128, most layers have integers
 * ma, mb below 2^30 and c so that floor((ua * ma + ub * mb + c) / 2^shift) is it for all pairs: for given ma and mb each pair
 * leaves an interval for c, and what is left of all of them is the choice. That is found, or not, when the layer is packed.
 * The kernel computes it in halves of 15 bits, two products of int16 pairs; nested floors are exact.
 *
 * Other layers are computed step by step. */

#define HALF 15 /* bits */

typedef struct layer {
    size_t a, b, y; /* in the arena */
    size_t n;
    pe_add_params p;
    pe_output_s8 out;
    bool fused;
    int32_t low, high;            /* halves of ma and mb, in pairs: of a in the lower 16 bits */
    int32_t c_low, c_high, shift; /* after the first HALF bits */
} layer;

/* 16 exact results as int32. */
PE_INLINE __m512i requantize16(__m512i x, int32_t multiplier, int32_t shift)
{
    const __m512i m = _mm512_set1_epi32(multiplier & INT32_MAX), half = _mm512_set1_epi64(1 << 30),
                  one = _mm512_set1_epi32(1);
    x = _mm512_sll_epi32(x, _mm_cvtsi32_si128(shift < 0 ? (int32_t)((0u - (uint32_t)shift) & 31) : 0));
    const __m128i right = _mm_cvtsi32_si128(shift > 0 ? shift & 31 : 0);
    __m512i even = _mm512_mul_epi32(x, m), odd = _mm512_mul_epi32(_mm512_srli_epi64(x, 32), m);
    even = _mm512_srli_epi64(_mm512_add_epi64(even, half), 31);
    odd = _mm512_slli_epi64(_mm512_add_epi64(odd, half), 1);
    const __m512i h = _mm512_mask_mov_epi32(even, 0xAAAA, odd);
    const __m512i mask = _mm512_sub_epi32(_mm512_sll_epi32(one, right), one);
    const __m512i limit = _mm512_add_epi32(_mm512_srli_epi32(mask, 1), _mm512_srli_epi32(h, 31));
    const __mmask16 up = _mm512_cmpgt_epu32_mask(_mm512_and_si512(h, mask), limit);
    const __m512i floor = _mm512_sra_epi32(h, right);
    return _mm512_mask_add_epi32(floor, up, floor, one);
}

PE_INLINE __m512i exact16(const layer *l, __m128i a, __m128i b)
{
    const pe_add_params *p = &l->p;
    const __m128i left = _mm_cvtsi32_si128(p->left_shift);
    __m512i x = _mm512_sub_epi32(_mm512_cvtepi8_epi32(a), _mm512_set1_epi32(p->a_zero_point));
    __m512i y = _mm512_sub_epi32(_mm512_cvtepi8_epi32(b), _mm512_set1_epi32(p->b_zero_point));
    x = requantize16(_mm512_sll_epi32(x, left), p->a_multiplier, p->a_shift);
    y = requantize16(_mm512_sll_epi32(y, left), p->b_multiplier, p->b_shift);
    const __m512i sum = requantize16(_mm512_add_epi32(x, y), p->y_multiplier, p->y_shift);
    const __m512i z = _mm512_set1_epi32(p->y_zero_point);
    const __m512i min = _mm512_sub_epi32(_mm512_set1_epi32(p->y_min), z);
    const __m512i max = _mm512_sub_epi32(_mm512_set1_epi32(p->y_max), z);
    return _mm512_add_epi32(_mm512_min_epi32(_mm512_max_epi32(sum, min), max), z);
}

/* factor * 2^-31 * 2^-shift, as a double. */
static double real(int32_t multiplier, int32_t shift)
{
    const uint64_t bits = (uint64_t)(1023 - 31 - shift) << 52; /* 2^(-31 - shift); shift is -31 .. 31 */
    double power;
    __builtin_memcpy(&power, &bits, sizeof power);
    return multiplier * power;
}

/* Finds c for ma and mb. table: the specified results, [ua][ub]. */
static bool find_c(const int8_t table[256][256], int64_t ma, int64_t mb, int32_t shift, const pe_output_s8 *out,
                   int64_t *c)
{
    int64_t least = INT64_MIN, most = INT64_MAX;
    for (int32_t a = 0; a < 256; a++) {
        for (int32_t b = 0; b < 256; b++) {
            const int64_t y = table[a][b], low = y * ((int64_t)1 << shift) - (a * ma + b * mb);
            const int64_t high = low + ((int64_t)1 << shift) - 1;
            least = y != out->min && low > least ? low : least; /* the clamp takes what is below */
            most = y != out->max && high < most ? high : most;
        }
        if (least > most)
            return false;
    }
    if (least == INT64_MIN || most == INT64_MAX)
        return false; /* constant, or nearly: not worth a case */
    *c = least + (most - least) / 2;
    return true;
}

static void fuse(layer *l)
{
    const double scale = real(l->p.y_multiplier, l->p.y_shift) * (double)(1 << l->p.left_shift);
    const double fa = real(l->p.a_multiplier, l->p.a_shift) * scale, fb = real(l->p.b_multiplier, l->p.b_shift) * scale;
    const double larger = fa > fb ? fa : fb;
    int32_t shift = 30;
    for (; shift > HALF && larger * (double)(1 << shift) >= (double)(1 << 30) - 8; shift--)
        ;
    if (shift == HALF)
        return;
    int8_t table[256][256];
    for (int32_t a = 0; a < 256; a++)
        for (int32_t b = 0; b < 256; b += 16) {
            const __m128i step = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            const __m512i y =
                exact16(l, _mm_set1_epi8((int8_t)(a - 128)), _mm_add_epi8(_mm_set1_epi8((int8_t)(b - 128)), step));
            _mm_storeu_si128((void *)&table[a][b], _mm512_cvtepi32_epi8(y));
        }
    static const int8_t steps[][2] = {{0, 0},  {1, 0}, {-1, 0},  {0, 1}, {0, -1}, {1, 1},  {-1, -1}, {1, -1},
                                      {-1, 1}, {2, 2}, {-2, -2}, {3, 0}, {0, 3},  {-3, 0}, {0, -3}};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && !l->fused; i++) {
        const int64_t ma = (int64_t)(fa * (double)(1 << shift) + 0.5) + steps[i][0];
        const int64_t mb = (int64_t)(fb * (double)(1 << shift) + 0.5) + steps[i][1];
        const int64_t mask = (1 << HALF) - 1;
        int64_t c;
        if (ma < 0 || mb < 0 || !find_c(table, ma, mb, shift, &l->out, &c) || (c >> HALF) != (int32_t)(c >> HALF))
            continue;
        l->fused = true;
        l->low = (int32_t)((ma & mask) | (mb & mask) << 16);
        l->high = (int32_t)(ma >> HALF | (mb >> HALF) << 16);
        l->c_low = (int32_t)(c & mask);
        l->c_high = (int32_t)(c >> HALF);
        l->shift = shift - HALF;
    }
}

static bool takes(const pe_call *c, pe_layer_bytes *bytes)
{
    const pe_tensor *a = c->tensor[0], *b = c->tensor[1], *y = c->tensor[2];
    bytes->packed = sizeof(layer);
    return pe_in_arena(a) && pe_in_arena(b) && a->bytes == y->bytes && b->bytes == y->bytes;
}

static void pack(const pe_call *c, void *packed)
{
    const pe_add_params *p = c->params;
    layer *l = packed;
    *l = (layer){.a = c->tensor[0]->offset,
                 .b = c->tensor[1]->offset,
                 .y = c->tensor[2]->offset,
                 .n = c->tensor[2]->bytes,
                 .p = *p,
                 .out = {p->y_zero_point, p->y_min, p->y_max}};
    fuse(l);
}

PE_INLINE __m512i fused64(const layer *l, __m512i a, __m512i b, const pe_clamp *clamp)
{
    const __m512i low = _mm512_set1_epi32(l->low), high = _mm512_set1_epi32(l->high);
    const __m512i c_low = _mm512_set1_epi32(l->c_low), c_high = _mm512_set1_epi32(l->c_high);
    const __m512i flip = _mm512_set1_epi8(-128), zero = _mm512_setzero_si512();
    const __m128i shift = _mm_cvtsi32_si128(l->shift);
    a = _mm512_xor_si512(a, flip);
    b = _mm512_xor_si512(b, flip);
    const __m512i even = _mm512_unpacklo_epi8(a, b), odd = _mm512_unpackhi_epi8(a, b);
    __m512i y[4] = {_mm512_unpacklo_epi8(even, zero), _mm512_unpackhi_epi8(even, zero), _mm512_unpacklo_epi8(odd, zero),
                    _mm512_unpackhi_epi8(odd, zero)};
    PE_FOR (i, 4) {
        const __m512i carry = _mm512_srai_epi32(_mm512_dpwssd_epi32(c_low, y[i], low), HALF);
        y[i] = _mm512_sra_epi32(_mm512_dpwssd_epi32(_mm512_add_epi32(c_high, carry), y[i], high), shift);
    }
    return pe_pack64(y[0], y[1], y[2], y[3], clamp);
}

static void run(const void *packed, uint8_t *arena, uint8_t *work)
{
    const layer *l = packed;
    const uint8_t *a = arena + l->a, *b = arena + l->b;
    uint8_t *y = arena + l->y;
    const pe_clamp clamp = pe_clamp_of(&l->out);
    size_t i = 0;
    (void)work;
    if (!l->fused) {
        for (; i < l->n; i += 16) {
            const __mmask16 live = (__mmask16)pe_first64(l->n - i);
            const __m512i v = exact16(l, _mm_maskz_loadu_epi8(live, a + i), _mm_maskz_loadu_epi8(live, b + i));
            _mm_mask_storeu_epi8(y + i, live, _mm512_cvtepi32_epi8(v));
        }
        return;
    }
    for (; i + 64 <= l->n; i += 64)
        _mm512_storeu_si512(y + i, fused64(l, _mm512_loadu_si512(a + i), _mm512_loadu_si512(b + i), &clamp));
    if (i < l->n) {
        const __mmask64 live = pe_first64(l->n - i);
        _mm512_mask_storeu_epi8(
            y + i, live,
            fused64(l, _mm512_maskz_loadu_epi8(live, a + i), _mm512_maskz_loadu_epi8(live, b + i), &clamp));
    }
}

const pe_layer pe_layer_add_s8__avx512 = {PE_OP_ADD_S8, "add_s8__avx512", takes, pack, run};
