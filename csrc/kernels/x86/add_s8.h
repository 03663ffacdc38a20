#include "kernels/layers.h"
#include "kernels/x86/s32.h"

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

/* The three requantizations, as int32; a, b: of PE_LANES elements. */
PE_INLINE pe_iv exact(const layer *l, pe_iv a, pe_iv b)
{
    const pe_add_params *p = &l->p;
    const __m128i left = _mm_cvtsi32_si128(p->left_shift);
    const pe_factor fa = pe_factor_of(p->a_multiplier, p->a_shift), fb = pe_factor_of(p->b_multiplier, p->b_shift),
                    fy = pe_factor_of(p->y_multiplier, p->y_shift);
    a = PE_IV(sll_epi32)(PE_IV(sub_epi32)(a, PE_IV(set1_epi32)(p->a_zero_point)), left);
    b = PE_IV(sll_epi32)(PE_IV(sub_epi32)(b, PE_IV(set1_epi32)(p->b_zero_point)), left);
    const pe_iv sum = PE_IV(add_epi32)(pe_iv_requantize(a, &fa), pe_iv_requantize(b, &fb));
    return pe_iv_output(pe_iv_requantize(sum, &fy), &l->out);
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
    int8_t codes[256];
    for (int32_t i = 0; i < 256; i++)
        codes[i] = (int8_t)(i - 128);
    for (int32_t a = 0; a < 256; a++)
        for (int32_t b = 0; b < 256; b += PE_LANES)
            pe_iv_store_s8(&table[a][b], exact(l, PE_IV(set1_epi32)(codes[a]), pe_iv_load_s8(&codes[b], PE_LANES)),
                           PE_LANES);
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

/* Of all bytes of a vector. */
PE_INLINE pe_iv fused(const layer *l, pe_iv a, pe_iv b)
{
    const pe_iv low = PE_IV(set1_epi32)(l->low), high = PE_IV(set1_epi32)(l->high);
    const pe_iv c_low = PE_IV(set1_epi32)(l->c_low), c_high = PE_IV(set1_epi32)(l->c_high);
    const pe_iv flip = PE_IV(set1_epi8)(-128), zero = PE_IV_SI(setzero)();
    const pe_iv min = PE_IV(set1_epi8)((int8_t)l->out.min), max = PE_IV(set1_epi8)((int8_t)l->out.max);
    const __m128i shift = _mm_cvtsi32_si128(l->shift);
    a = PE_IV_SI(xor)(a, flip);
    b = PE_IV_SI(xor)(b, flip);
    const pe_iv even = PE_IV(unpacklo_epi8)(a, b), odd = PE_IV(unpackhi_epi8)(a, b);
    pe_iv y[4] = {PE_IV(unpacklo_epi8)(even, zero), PE_IV(unpackhi_epi8)(even, zero), PE_IV(unpacklo_epi8)(odd, zero),
                  PE_IV(unpackhi_epi8)(odd, zero)};
    PE_FOR (i, 4) {
        const pe_iv carry = PE_IV(srai_epi32)(pe_iv_dot2(c_low, y[i], low), HALF);
        y[i] = PE_IV(sra_epi32)(pe_iv_dot2(PE_IV(add_epi32)(c_high, carry), y[i], high), shift);
    }
    const pe_iv sums = PE_IV(packs_epi16)(PE_IV(packs_epi32)(y[0], y[1]), PE_IV(packs_epi32)(y[2], y[3]));
    return PE_IV(min_epi8)(PE_IV(max_epi8)(sums, min), max);
}

static void run(const void *packed, uint8_t *arena, uint8_t *work)
{
    const layer *l = packed;
    const int8_t *a = (const int8_t *)arena + l->a, *b = (const int8_t *)arena + l->b;
    int8_t *y = (int8_t *)arena + l->y;
    (void)work;
    if (!l->fused) {
        for (size_t i = 0; i < l->n; i += PE_LANES)
            pe_iv_store_s8(y + i, exact(l, pe_iv_load_s8(a + i, l->n - i), pe_iv_load_s8(b + i, l->n - i)), l->n - i);
        return;
    }
    enum { BYTES = sizeof(pe_iv) };
    size_t i = 0;
    for (; i + BYTES <= l->n; i += BYTES)
        PE_IV_SI(storeu)((void *)(y + i),
                         fused(l, PE_IV_SI(loadu)((const void *)(a + i)), PE_IV_SI(loadu)((const void *)(b + i))));
    if (i < l->n) { /* y may be a or b: each element once */
        const size_t rest = l->n - i;
        int8_t last[3][BYTES] = {{0}};
        for (size_t k = 0; k < rest; k++) {
            last[0][k] = a[i + k];
            last[1][k] = b[i + k];
        }
        PE_IV_SI(storeu)((void *)last[2],
                         fused(l, PE_IV_SI(loadu)((const void *)last[0]), PE_IV_SI(loadu)((const void *)last[1])));
        for (size_t k = 0; k < rest; k++)
            y[i + k] = last[2][k];
    }
}

const pe_layer PE_LEVEL(pe_layer_add_s8) = {PE_OP_ADD_S8, PE_LEVEL_NAME(add_s8), takes, pack, run};
