#include "kernels/avx512/requantize.h"

/* Everything here is in the units of the runtime form: sums with 128 * weight_sum taken off the bias. */

static int32_t start_of(const pe_rq_channel *c)
{
    return (int32_t)((uint32_t)c->q.bias - 128u * (uint32_t)c->weight_sum);
}

static int32_t result(int64_t sum, const pe_rq_channel *c, const pe_output_s8 *out)
{
    return pe_requantize_s8((uint32_t)sum, c->q.a, c->q.b, out);
}

/* No sum wraps. */
static bool is_bounded(const pe_rq_channel *c)
{
    return c->low + start_of(c) >= INT32_MIN && c->high + start_of(c) <= INT32_MAX;
}

/* Multiplier and shift are those of ordinary models. */
static bool is_ordinary(const pe_rq_channel *c)
{
    return c->q.a > 0 && c->q.b >= 1 && c->q.b <= 30;
}

/* All sums have one result, as in channels that training has left without weights: requantization is monotone. */
static bool is_constant(const pe_rq_channel *c, const pe_output_s8 *out)
{
    return is_bounded(c) && c->q.b >= 0 &&
           result(c->low + start_of(c), c, out) == result(c->high + start_of(c), c, out);
}

/* The first rounding of a sum. */
static int64_t first_rounding(int64_t sum, int32_t multiplier)
{
    return (sum * multiplier + (1 << 30)) >> 31;
}

/* The smallest sum whose result is at least k, before any clamp; possibly beyond int32. */
static int64_t step_at(int32_t k, const pe_rq_channel *c, int32_t zero_point)
{
    /* Rounding halves away from zero: h reaches j at (j - 1/2) * 2^n for j > 0, one later for j <= 0. */
    const int64_t j = k - zero_point, h = j * ((int64_t)1 << c->q.b) - ((int64_t)1 << (c->q.b - 1)) + (j <= 0);
    if (h > INT32_MAX || h < INT32_MIN)
        return h < 0 ? INT64_MIN : INT64_MAX;
    const int64_t numerator = h * ((int64_t)1 << 31) - (1 << 30), quotient = numerator / c->q.a;
    return quotient + (numerator % c->q.a > 0);
}

#define LANES 16
#define STEPS 256  /* at most 255 steps, in vectors of LANES */
#define SLOPES 33  /* that are tried, the ideal one first, then its neighbours among the floats */
#define OFFSETS 33 /* that are tried for each slope */

/* The staircase of a channel inside the range of its sums. */
typedef struct staircase {
    int32_t low, high, first, last; /* the range; the results at its ends */
    size_t n;
    int32_t at[STEPS], before[STEPS], value[STEPS]; /* steps: the first sum of a result, the one before, the result */
} staircase;

static void find_steps(const pe_rq_channel *c, const pe_output_s8 *out, staircase *s)
{
    s->low = (int32_t)(c->low + start_of(c));
    s->high = (int32_t)(c->high + start_of(c));
    s->first = result(s->low, c, out);
    s->last = result(s->high, c, out);
    s->n = 0;
    for (int32_t k = s->first + 1; k <= s->last; k++) {
        const int64_t t = step_at(k, c, out->zero_point); /* inside the range, because results at its ends differ */
        s->at[s->n] = (int32_t)t;
        s->before[s->n] = (int32_t)t - 1;
        s->value[s->n++] = k;
    }
}

/* Float and specified results agree on both sides of each step, and at the ends as far as clamps leave them. */
static bool agrees(const staircase *s, const pe_output_s8 *out, pe_rq_form form, float scale, float offset)
{
    const __m512 scales = _mm512_set1_ps(scale), offsets = _mm512_set1_ps(offset);
    const __m512i low = pe_rq16_float(_mm512_set1_epi32(s->low), scales, offsets, out, form);
    const __m512i high = pe_rq16_float(_mm512_set1_epi32(s->high), scales, offsets, out, form);
    const int32_t first = _mm512_cvtsi512_si32(low), last = _mm512_cvtsi512_si32(high);
    if ((first < s->first && s->first != out->min) || (first > s->first && s->first != out->max) ||
        (last < s->last && s->last != out->min) || (last > s->last && s->last != out->max))
        return false;
    for (size_t i = 0; i < s->n; i += LANES) {
        const __mmask16 live = (__mmask16)pe_first64(s->n - i);
        const __m512i k = _mm512_maskz_loadu_epi32(live, s->value + i);
        const __m512i at = pe_rq16_float(_mm512_maskz_loadu_epi32(live, s->at + i), scales, offsets, out, form);
        const __m512i below = pe_rq16_float(_mm512_maskz_loadu_epi32(live, s->before + i), scales, offsets, out, form);
        if (_mm512_mask_cmplt_epi32_mask(live, at, k) | _mm512_mask_cmpge_epi32_mask(live, below, k))
            return false;
    }
    return true;
}

/* A scale and offset that give the specified results for every sum of the channel. */
static bool find_float(const pe_rq_channel *c, const pe_output_s8 *out, pe_rq_form form, float *scale, float *offset)
{
    const float ideal = (float)c->q.a * pe_float_from_bits((uint32_t)(127 - 31 - c->q.b) << 23); /* 2^(-31 - shift) */
    const int32_t zero = form == PE_RQ_FLOAT_SIGNED ? out->zero_point : 0;
    staircase s;
    find_steps(c, out, &s);
    for (uint32_t i = 0; i < SLOPES; i++) {
        const uint32_t bits = pe_float_bits(ideal), away = (i + 1) / 2;
        const float slope = pe_float_from_bits(i & 1 ? bits + away : bits - away);
        /* The steps leave an interval for the offset: its middle first, then outwards. */
        double least = -1e30, most = 1e30;
        for (size_t k = 0; k < s.n && least <= most; k++) {
            const int32_t value = s.value[k] - zero;
            double a = value - 0.5 - (double)slope * s.at[k], b = a + (double)slope;
            if (form == PE_RQ_FLOAT_SIGNED && value <= 0) { /* there the offset has the other sign */
                const double swap = -a;
                a = -b;
                b = swap;
            }
            least = a > least ? a : least;
            most = b < most ? b : most;
        }
        if (least > most)
            continue;
        for (int32_t j = 0; j < OFFSETS; j++) {
            const double part = 0.5 + (j & 1 ? 1 : -1) * ((j + 1) / 2) / (double)OFFSETS;
            const float o = (float)(least + (most - least) * part);
            if (agrees(&s, out, form, slope, o)) {
                *scale = slope;
                *offset = o;
                return true;
            }
        }
    }
    return false;
}

/* Is h + 2^(n-1) + zero_point * 2^n an int32 for every sum? */
static bool int_fits(const pe_rq_channel *c, const pe_output_s8 *out)
{
    const int64_t add = ((int64_t)1 << (c->q.b - 1)) + out->zero_point * ((int64_t)1 << c->q.b);
    return first_rounding(c->low + start_of(c), c->q.a) + add - 1 >= INT32_MIN &&
           first_rounding(c->high + start_of(c), c->q.a) + add <= INT32_MAX;
}

void pe_rq_add_weights(pe_rq_channel *c, const int8_t *w, size_t n, size_t stride)
{
    for (; n; n--, w += stride) {
        c->weight_sum += *w;
        c->low += 255 * (*w < 0 ? *w : 0);
        c->high += 255 * (*w > 0 ? *w : 0);
    }
}

pe_rq_form pe_rq_choose(const pe_rq_channel *c, size_t n, const pe_output_s8 *out, float *scale, float *offset)
{
    /* Where the clamp takes all results below the zero point, halves go one way. */
    const bool is_signed = out->min < out->zero_point;
    const pe_rq_form form = is_signed ? PE_RQ_FLOAT_SIGNED : PE_RQ_FLOAT;
    bool is_float = true, is_int = true;
    for (size_t i = 0; i < n; i++) {
        if (is_constant(&c[i], out)) {
            const int32_t value = result(c[i].low + start_of(&c[i]), &c[i], out);
            const int64_t low = c[i].low + start_of(&c[i]), high = c[i].high + start_of(&c[i]);
            scale[i] = 0;
            offset[i] = (float)(is_signed ? value - out->zero_point : value);
            if (is_signed && high < 0) /* where the sum's sign turns it */
                offset[i] = -offset[i];
            else if (is_signed && low < 0)
                is_float = false;
            continue;
        }
        if (!is_bounded(&c[i]) || !is_ordinary(&c[i]))
            return PE_RQ_ANY;
        is_float = is_float && find_float(&c[i], out, form, &scale[i], &offset[i]);
        is_int = is_int && int_fits(&c[i], out);
    }
    if (is_float)
        return form;
    if (!is_int)
        return PE_RQ_ANY;
    return is_signed ? PE_RQ_INT_SIGNED : PE_RQ_INT;
}

int32_t pe_rq_start(pe_rq_form form, const pe_rq_channel *c)
{
    const uint32_t start = (uint32_t)start_of(c);
    return (int32_t)(form == PE_RQ_INT || form == PE_RQ_INT_SIGNED ? start + (1u << 31) : start);
}

void pe_rq_set(pe_rq16 *to, size_t lane, pe_rq_form form, const pe_rq_channel *c, const pe_output_s8 *out, float scale,
               float offset)
{
    to->bias[lane] = pe_rq_start(form, c);
    if (form == PE_RQ_FLOAT || form == PE_RQ_FLOAT_SIGNED) {
        to->f.scale[lane] = scale;
        to->f.offset[lane] = offset;
    } else if (form == PE_RQ_ANY) {
        const uint32_t shift = (uint32_t)c->q.b;
        to->any.multiplier[lane] = c->q.a & INT32_MAX;
        to->any.left[lane] = c->q.b < 0 ? (int32_t)((0u - shift) & 31) : 0;
        to->any.right[lane] = c->q.b > 0 ? (int32_t)(shift & 31) : 0;
    } else {
        const bool constant = is_constant(c, out);
        const int32_t shift = constant ? 1 : c->q.b,
                      zero = constant ? result(c->low + start_of(c), c, out) : out->zero_point;
        const uint64_t twice = constant ? 0 : 2 * (uint64_t)c->q.a, one = 1;
        const uint64_t add = (one << (shift - 1)) + (uint64_t)(zero * ((int64_t)1 << shift));
        const uint64_t both = (one << 31) - (twice << 31) + (add << 32);
        to->i.twice[lane] = (uint32_t)twice;
        to->i.shift[lane] = shift;
        if (lane & 1) {
            to->i.twice_odd[lane - 1] = (uint32_t)twice;
            to->i.c_odd[lane / 2] = both;
        } else {
            to->i.c_even[lane / 2] = both;
        }
    }
}
