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
#define STEPS 256 /* at most 255 steps, in vectors of LANES */

/* Results of the float form, as pe_rq16_apply computes them. */
static __m512i float_results(__m512i sums, float scale, float offset)
{
    enum { NEAREST = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC };
    const __m512 x = _mm512_cvt_roundepi32_ps(sums, NEAREST);
    return _mm512_cvt_roundps_epi32(_mm512_fmadd_round_ps(x, _mm512_set1_ps(scale), _mm512_set1_ps(offset), NEAREST),
                                    NEAREST);
}

/* Float and specified results are equal on both sides of n steps: at least value[i] at sum[i], less just before. */
static bool agrees(const int32_t *sum, const int32_t *before, const int32_t *value, size_t n, float scale, float offset)
{
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 live = (__mmask16)pe_first64(n - i);
        const __m512i k = _mm512_maskz_loadu_epi32(live, value + i);
        const __m512i at = float_results(_mm512_maskz_loadu_epi32(live, sum + i), scale, offset);
        const __m512i below = float_results(_mm512_maskz_loadu_epi32(live, before + i), scale, offset);
        if (_mm512_mask_cmplt_epi32_mask(live, at, k) | _mm512_mask_cmpge_epi32_mask(live, below, k))
            return false;
    }
    return true;
}

/* A scale and offset that give the specified results for every sum of the channel. */
static bool find_float(const pe_rq_channel *c, const pe_output_s8 *out, float *scale, float *offset)
{
    const int32_t low = (int32_t)(c->low + start_of(c)), high = (int32_t)(c->high + start_of(c));
    int32_t at[STEPS], before[STEPS], value[STEPS];
    size_t n = 0;
    for (int32_t k = out->min + 1; k <= out->max; k++) {
        const int64_t t = step_at(k, c, out->zero_point);
        if (t > high)
            break;
        if (t <= low)
            continue;
        at[n] = (int32_t)t;
        before[n] = (int32_t)t - 1;
        value[n++] = k;
    }
    /* Both ends, as steps that lie outside: at least result(low) at low, less than result(high) + 1 at high. What the clamp
     * makes of results beyond is no matter. */
    const int32_t ends[LANES] = {low, high}, first = result(low, c, out), last = result(high, c, out);
    const float ideal =
        (float)c->q.a * pe_float_from_bits((uint32_t)(127 - 31 - c->q.b) << 23); /* multiplier / 2^(31+n) */
    for (uint32_t i = 0; i < 9; i++) {
        const uint32_t bits = pe_float_bits(ideal), away = (i + 1) / 2;
        const float s = pe_float_from_bits(i & 1 ? bits + away : bits - away);
        /* The steps leave an interval for the offset: its middle first, then outwards. */
        double least = -1e30, most = 1e30;
        for (size_t k = 0; k < n; k++) {
            const double a = value[k] - 0.5 - (double)s * at[k], b = a + (double)s;
            least = a > least ? a : least;
            most = b < most ? b : most;
        }
        if (n == 0)
            least = most = first - (double)s * low;
        if (least > most)
            continue;
        for (int32_t j = 0; j <= 32; j++) {
            const double part = 0.5 + (j & 1 ? 1 : -1) * ((j + 1) / 2) / 33.0;
            const float o = (float)(least + (most - least) * part);
            int32_t y[LANES];
            _mm512_storeu_si512(y, float_results(_mm512_loadu_si512(ends), s, o));
            const bool ends_agree = (y[0] >= first || first == out->min) && (y[0] <= first || first == out->max) &&
                                    (y[1] >= last || last == out->min) && (y[1] <= last || last == out->max);
            if (ends_agree && agrees(at, before, value, n, s, o)) {
                *scale = s;
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
    bool is_float = true, is_int = true;
    for (size_t i = 0; i < n; i++) {
        if (is_constant(&c[i], out)) {
            scale[i] = 0;
            offset[i] = (float)result(c[i].low + start_of(&c[i]), &c[i], out);
            continue;
        }
        if (!is_bounded(&c[i]) || !is_ordinary(&c[i]))
            return PE_RQ_ANY;
        is_float = is_float && find_float(&c[i], out, &scale[i], &offset[i]);
        is_int = is_int && int_fits(&c[i], out);
    }
    if (is_float)
        return PE_RQ_FLOAT;
    if (!is_int)
        return PE_RQ_ANY;
    return out->min >= out->zero_point ? PE_RQ_INT : PE_RQ_INT_SIGNED;
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
    if (form == PE_RQ_FLOAT) {
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
