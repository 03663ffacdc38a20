/* Elementary functions of binary32, with the same bits on every core: FMAs, exact steps and integers only
 * (docs/arithmetic.md, "Elementary functions", which has the largest errors; tests/csrc/math_test.c measures them).
 * Coefficients are minimax, by Lawson's weighted least squares, rounded to binary32 one after the other from the lowest. */
#ifndef PE_MATH_F32_H
#define PE_MATH_F32_H
#include <stddef.h>

#include "exp.h"

#if defined __SSE2__
#include <emmintrin.h>
#endif

#define PE_LN2 0x1.62e43p-1f /* to 24 bits, of which the last four are 0 */
#define PE_LN2_LOW -0x1.05c61p-29f
#define PE_HALF_PI 0x1.921fb6p+0f
#define PE_HALF_PI_LOW -0x1.777a5cp-25f

static inline float pe_nan(void)
{
    return pe_float_from_bits(PE_NAN_BITS);
}

static inline float pe_infinity(void)
{
    return pe_float_from_bits(0x7F800000);
}

static inline float pe_abs_f32(float x)
{
    return pe_float_from_bits(pe_float_bits(x) & INT32_MAX);
}

static inline float pe_copysign_f32(float x, float sign)
{
    return pe_float_from_bits((pe_float_bits(x) & INT32_MAX) | (pe_float_bits(sign) & (1u << 31)));
}

/* c[0] + c[1] x + ... by Horner's rule. */
static inline float pe_polynomial(float x, const float *c, size_t n)
{
    float y = c[n - 1];
    for (size_t i = n - 1; i > 0; i--)
        y = pe_fmaf(y, x, c[i - 1]);
    return y;
}
#define PE_POLYNOMIAL(x, ...) \
    pe_polynomial(x, (const float[]){__VA_ARGS__}, sizeof((const float[]){__VA_ARGS__}) / sizeof(float))

/* The square root to the nearest; NaN of a negative number. In integers where there is no instruction. */
static inline float pe_sqrt_f32(float x)
{
#if defined __SSE2__
    return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x)));
#elif defined __aarch64__
    float y;
    __asm__("fsqrt %s0, %s1" : "=w"(y) : "w"(x));
    return y;
#elif defined __riscv_flen
    float y;
    __asm__("fsqrt.s %0, %1" : "=f"(y) : "f"(x));
    return y;
#else
    uint32_t bits = pe_float_bits(x);
    if (bits << 1 == 0 || bits == 0x7F800000)
        return x;
    if (bits >= 0x7F800000)
        return pe_nan();
    int32_t exponent = (int32_t)(bits >> 23) - 127;
    uint64_t mantissa = bits & 0x7FFFFF;
    if (exponent == -127)
        for (exponent = -126; !(mantissa >> 23); exponent--)
            mantissa <<= 1;
    else
        mantissa |= 0x800000;
    /* The integer root of mantissa * 2^25 or 2^26 has 25 bits, one more than the result; it is never a tie. */
    uint64_t rest = mantissa << (exponent & 1 ? 26 : 25), root = 0;
    for (uint64_t bit = 1ull << 48; bit; bit >>= 2) {
        if (rest >= root + bit) {
            rest -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    uint32_t y = (uint32_t)((root + 1) >> 1);
    return pe_float_from_bits(y + ((uint32_t)((exponent >> 1) + 126) << 23));
#endif
}

/* x = 2^k m with m in [sqrt(1/2), sqrt(2)), for x > 0 and finite; returns m. */
static inline float pe_split_f32(float x, int32_t *k)
{
    int32_t bits = (int32_t)pe_float_bits(x), subnormal = 0;
    if (bits < 0x800000) {
        bits = (int32_t)pe_float_bits(x * 0x1p+23f);
        subnormal = 23;
    }
    int32_t n = (bits - 0x3F3504F3) >> 23; /* sqrt(1/2) */
    *k = n - subnormal;
    return pe_float_from_bits((uint32_t)(bits - n * 0x800000));
}

/* log(2^k (1 + f)) + rest for f in [-0.2929, 0.4143]. */
static inline float pe_log_part(float f, int32_t k, float rest)
{
    float q = PE_POLYNOMIAL(f, -0x1.fffff8p-2f, 0x1.55555p-2f, -0x1.000438p-2f, 0x1.99a428p-3f, -0x1.542424p-3f,
                            0x1.226b42p-3f, -0x1.0f4ca2p-3f, 0x1.087cc6p-3f, -0x1.384f06p-4f);
    float n = (float)k, low = pe_fmaf(f * f, q, pe_fmaf(n, PE_LN2_LOW, rest));
    if (k == 0)
        return f + low;
    float high = pe_fmaf(n, PE_LN2, f); /* |n ln 2| > |f|: what the sum loses is f - (high - n ln 2) */
    return high + (low + (f - pe_fmaf(-n, PE_LN2, high)));
}

static inline float pe_log_f32(float x)
{
    if (pe_is_nan(x) || (pe_float_bits(x) << 1 != 0 && pe_float_bits(x) >> 31))
        return pe_nan();
    if (pe_float_bits(x) << 1 == 0)
        return -pe_infinity();
    if (pe_float_bits(x) == 0x7F800000)
        return x;
    int32_t k;
    float m = pe_split_f32(x, &k);
    return pe_log_part(m - 1.0f, k, 0.0f);
}

/* log(1 + x), of small x as well. */
static inline float pe_log1p_f32(float x)
{
    if (!pe_float_le(-1.0f, x) || pe_float_le(x, -1.0f) || pe_float_bits(x) == 0x7F800000)
        return pe_log_f32(1.0f + x);
    if (pe_float_le(pe_abs_f32(x), 0x1p-26f))
        return x; /* keeps subnormals and the sign of zero */
    int32_t k;
    float u = 1.0f + x, m = pe_split_f32(u, &k);
    /* What 1 + x lost, relative to u; the larger of the two is exact in u. */
    float lost = pe_float_le(x, 1.0f) ? x - (u - 1.0f) : 1.0f - (u - x);
    return k == 0 ? pe_log_part(x, 0, 0.0f) : pe_log_part(m - 1.0f, k, lost / u);
}

/* e^x - 1. */
static inline float pe_expm1_f32(float x)
{
    if (pe_is_nan(x))
        return x;
    if (pe_float_le(x, -18.0f))
        return -1.0f;
    if (pe_float_le(80.0f, x))
        return pe_exp_f32(x);
    if (pe_float_le(pe_abs_f32(x), 0x1p-26f))
        return x;
    const float to_integer = 0x1.8p+23f;
    float shifted = pe_fmaf(x, 0x1.715476p+0f, to_integer), n = shifted - to_integer;
    int32_t k = (int32_t)(pe_float_bits(shifted) - pe_float_bits(to_integer)); /* -26 .. 116 */
    float r = pe_fmaf(n, -PE_LN2_LOW, pe_fmaf(n, -PE_LN2, x));
    float q = PE_POLYNOMIAL(r, 0x1.fffffcp-2f, 0x1.55549p-3f, 0x1.5558f8p-5f, 0x1.123b02p-7f, 0x1.6a2256p-10f);
    float p = pe_fmaf(r * r, q, r), s = pe_float_from_bits((uint32_t)(k + 127) << 23);
    return pe_fmaf(s, p, s - 1.0f);
}

/* x = n pi/2 + r + low with |r| <= pi/4, for finite x; returns r, and n modulo 4. Payne and Hanek: bits of 2/pi whose
 * product with x is a multiple of 4 are left out, and of the product the 64 bits from 2^1 on are kept. Next to a multiple
 * of pi/2 at least 30 of them are left. */
static inline float pe_reduce_f32(float x, uint32_t *quadrant, float *low)
{
    static const uint32_t two_over_pi[] = {0,          0xA2F9836E, 0x4E441529, 0xFC2757D1,
                                           0xF534DDC0, 0xDB629599, 0x3C439041, 0xFE5163AB}; /* 2^31 .. 2^-224 */
    *quadrant = 0;
    *low = 0;
    if (pe_float_le(pe_abs_f32(x), 0x1.921fb4p-1f))
        return x;
    uint32_t bits = pe_float_bits(x), part[3];
    uint64_t mantissa = (bits & 0x7FFFFF) | 0x800000;
    uint32_t first = (bits >> 23 & 255) - 120; /* x = mantissa * 2^e, e in -24 .. 104; the window starts at 2^(1 - e) */
    for (uint32_t i = 0; i < 3; i++) {
        const uint32_t *word = &two_over_pi[first / 32 + i];
        part[i] = (uint32_t)(((uint64_t)word[0] << 32 | word[1]) << first % 32 >> 32);
    }
    uint64_t product = (mantissa * part[0] << 32) + mantissa * part[1] + (mantissa * part[2] >> 32);
    uint32_t n = (uint32_t)((product + (1ull << 61)) >> 62);
    int64_t fraction = (int64_t)(product << 2) >> 2; /* of pi/2, times 2^62 */
    if (bits >> 31) {
        n = 0 - n;
        fraction = -fraction;
    }
    *quadrant = n & 3;
    float high = (float)fraction, rest = (float)(fraction - (int64_t)high) * 0x1p-62f;
    high *= 0x1p-62f;
    float r = high * PE_HALF_PI;
    *low = pe_fmaf(high, PE_HALF_PI, -r) + pe_fmaf(high, PE_HALF_PI_LOW, rest * PE_HALF_PI);
    return r;
}

/* sin(r + low), cos(r + low) for |r| <= pi/4. */
static inline float pe_sin_part(float r, float low)
{
    float z = r * r, s = PE_POLYNOMIAL(z, -0x1.555556p-3f, 0x1.111174p-7f, -0x1.a05956p-13f, 0x1.7c2da2p-19f);
    return r + pe_fmaf(r * z, s, pe_fmaf(low * z, -0.5f, low));
}

static inline float pe_cos_part(float r, float low)
{
    float z = r * r, half = 0.5f * z, one = 1.0f - half;
    float c = PE_POLYNOMIAL(z, 0x1.55554ap-5f, -0x1.6c0c2ap-10f, 0x1.99e8fap-16f);
    return one + (((1.0f - one) - half) + pe_fmaf(z * z, c, -(r * low)));
}

static inline int pe_is_finite_f32(float x)
{
    return (pe_float_bits(x) & 0x7F800000) != 0x7F800000;
}

/* sin(x + quarters pi/2). */
static inline float pe_sin_cos_f32(float x, uint32_t quarters)
{
    uint32_t n;
    float low;
    if (!pe_is_finite_f32(x))
        return pe_nan();
    float r = pe_reduce_f32(x, &n, &low);
    n += quarters;
    float y = n & 1 ? pe_cos_part(r, low) : pe_sin_part(r, low);
    return n & 2 ? -y : y;
}

static inline float pe_tan_f32(float x)
{
    uint32_t n;
    float low;
    if (!pe_is_finite_f32(x))
        return pe_nan();
    float r = pe_reduce_f32(x, &n, &low), s = pe_sin_part(r, low), c = pe_cos_part(r, low);
    return n & 1 ? -c / s : s / c;
}

/* atan(t) for |t| <= tan(pi/8), less t. */
static inline float pe_atan_part(float t)
{
    float z = t * t;
    return t * z * PE_POLYNOMIAL(z, -0x1.55554ap-2f, 0x1.9991e2p-3f, -0x1.23b9a2p-3f, 0x1.b22456p-4f, -0x1.f2e5a8p-5f);
}

static inline float pe_atan_f32(float x)
{
    float a = pe_abs_f32(x), t, y;
    if (pe_is_nan(x))
        return x;
    if (pe_float_le(a, 0x1.a8279ap-2f)) /* tan(pi/8) */
        return x + pe_atan_part(x);
    if (pe_float_le(a, 0x1.3504f4p+1f)) { /* 1 / tan(pi/8) */
        t = (a - 1.0f) / (a + 1.0f);
        y = 0.5f * PE_HALF_PI + (t + (pe_atan_part(t) + 0.5f * PE_HALF_PI_LOW));
    } else {
        t = -1.0f / a;
        y = PE_HALF_PI + (t + (pe_atan_part(t) + PE_HALF_PI_LOW));
    }
    return pe_copysign_f32(y, x);
}

/* The angle of the point (x, y), as C's atan2. */
static inline float pe_atan2_f32(float y, float x)
{
    if (pe_is_nan(x) || pe_is_nan(y))
        return pe_nan();
    float ax = pe_abs_f32(x), ay = pe_abs_f32(y), angle;
    if (pe_float_bits(ay) == 0)
        angle = 0;
    else if (pe_float_bits(ax) == 0x7F800000)
        angle = pe_float_bits(ay) == 0x7F800000 ? 0.5f * PE_HALF_PI : 0;
    else
        angle = pe_atan_f32(ay / ax); /* pi/2 where the quotient is infinite */
    if (pe_float_bits(x) >> 31)
        angle = 2.0f * PE_HALF_PI - (angle - 2.0f * PE_HALF_PI_LOW);
    return pe_copysign_f32(angle, y);
}

/* asin(t) for |t| <= 1/2, less t. */
static inline float pe_asin_part(float t)
{
    float z = t * t;
    return t * z *
           PE_POLYNOMIAL(z, 0x1.55554cp-3f, 0x1.3338acp-4f, 0x1.6ca75p-5f, 0x1.04d36ep-5f, 0x1.d51076p-7f,
                         0x1.34d0ecp-5f);
}

static inline float pe_asin_f32(float x)
{
    float a = pe_abs_f32(x);
    if (!pe_float_le(a, 1.0f))
        return pe_nan();
    if (pe_float_le(a, 0.5f))
        return x + pe_asin_part(x);
    float s = pe_sqrt_f32(0.5f * (1.0f - a)); /* asin(a) = pi/2 - 2 asin(s) */
    return pe_copysign_f32(PE_HALF_PI - 2.0f * (s + (pe_asin_part(s) - 0.5f * PE_HALF_PI_LOW)), x);
}

static inline float pe_acos_f32(float x)
{
    float a = pe_abs_f32(x);
    if (!pe_float_le(a, 1.0f))
        return pe_nan();
    if (pe_float_le(a, 0.5f))
        return PE_HALF_PI - (x + (pe_asin_part(x) - PE_HALF_PI_LOW));
    float s = pe_sqrt_f32(0.5f * (1.0f - a)), y = 2.0f * (s + pe_asin_part(s));
    return pe_float_bits(x) >> 31 ? 2.0f * PE_HALF_PI - (y - 2.0f * PE_HALF_PI_LOW) : y;
}

static inline float pe_sinh_f32(float x)
{
    float a = pe_abs_f32(x), y;
    if (pe_is_nan(x))
        return x;
    if (pe_float_le(88.0f, a)) {
        float half = pe_exp_f32(0.5f * a);
        y = 0.5f * half * half;
    } else {
        float e = pe_expm1_f32(a);
        y = 0.5f * (e + e / (e + 1.0f));
    }
    return pe_copysign_f32(y, x);
}

static inline float pe_cosh_f32(float x)
{
    float a = pe_abs_f32(x);
    if (pe_float_le(88.0f, a)) {
        float half = pe_exp_f32(0.5f * a);
        return 0.5f * half * half;
    }
    float e = pe_exp_f32(a);
    return 0.5f * e + 0.5f / e;
}

static inline float pe_tanh_f32(float x)
{
    if (pe_is_nan(x))
        return x;
    float a = pe_abs_f32(x);
    if (pe_float_le(10.0f, a))
        return pe_copysign_f32(1.0f, x);
    float e = pe_expm1_f32(2.0f * a);
    return pe_copysign_f32(e / (e + 2.0f), x);
}

static inline float pe_asinh_f32(float x)
{
    float a = pe_abs_f32(x), y;
    if (pe_is_nan(x))
        return x;
    if (pe_float_le(0x1p+13f, a))
        y = pe_log_f32(a) + 2.0f * (0.5f * PE_LN2);
    else
        y = pe_log1p_f32(a + a * a / (1.0f + pe_sqrt_f32(pe_fmaf(a, a, 1.0f))));
    return pe_copysign_f32(y, x);
}

static inline float pe_acosh_f32(float x)
{
    if (!pe_float_le(1.0f, x))
        return pe_nan();
    if (pe_float_le(0x1p+13f, x))
        return pe_log_f32(x) + PE_LN2;
    float t = x - 1.0f;
    return pe_log1p_f32(t + pe_sqrt_f32(pe_fmaf(t, t, 2.0f * t)));
}

static inline float pe_atanh_f32(float x)
{
    float a = pe_abs_f32(x);
    return pe_copysign_f32(0.5f * pe_log1p_f32(2.0f * a / (1.0f - a)), x);
}

static inline float pe_erf_f32(float x)
{
    float a = pe_abs_f32(x);
    if (pe_is_nan(x))
        return x;
    if (pe_float_le(a, 0x1.d7p-1f)) {
        float p = PE_POLYNOMIAL(x * x, 0x1.06eba8p-3f, -0x1.81274p-2f, 0x1.ce2d64p-4f, -0x1.b80116p-6f, 0x1.5449ap-8f,
                                -0x1.a601dep-11f, 0x1.4f3b7ep-14f);
        return pe_fmaf(x, p, x);
    }
    a = pe_clip_f32(a, 0.0f, 3.95f); /* 1 to 24 bits */
    float g = PE_POLYNOMIAL(a, -0x1.6dc60ap-13f, 0x1.2127cep+0f, 0x1.444666p-1f, 0x1.bb80b6p-4f, -0x1.9b85ecp-6f,
                            0x1.114d1p-8f, -0x1.c760aap-12f, 0x1.61a23cp-16f); /* -log(1 - erf(a)) */
    return pe_copysign_f32(1.0f - pe_exp_f32(-g), x);
}

static inline float pe_sigmoid_f32(float x)
{
    float e = pe_exp_f32(-pe_abs_f32(x));
    return (pe_float_bits(x) >> 31 ? e : 1.0f) / (1.0f + e);
}

/* log(1 + e^x). */
static inline float pe_softplus_f32(float x)
{
    return pe_clip_f32(x, 0.0f, pe_infinity()) + pe_log1p_f32(pe_exp_f32(-pe_abs_f32(x)));
}

/* To the nearest integer, halves to even; the other two towards minus and plus infinity; zeros keep their sign. */
static inline float pe_round_f32(float x)
{
    float a = pe_abs_f32(x);
    return pe_float_le(a, 0x1p+23f) ? pe_copysign_f32((a + 0x1p+23f) - 0x1p+23f, x) : x;
}

static inline float pe_floor_f32(float x)
{
    float y = pe_round_f32(x);
    return pe_float_le(y, x) || pe_is_nan(x) ? y : y - 1.0f;
}

static inline float pe_ceil_f32(float x)
{
    return -pe_floor_f32(-x);
}

/* x > 0 to the power of y: y log(x) in two parts, log(x) as k ln 2 + 2 atanh(s). */
static inline float pe_pow_positive(float x, float y)
{
    int32_t k;
    float f = pe_split_f32(x, &k) - 1.0f, d = 2.0f + f, s = f / d, n = (float)k;
    float d_low = f - (d - 2.0f), s_low = (pe_fmaf(-s, d, f) - s * d_low) / d, z = s * s;
    float p = s * z * PE_POLYNOMIAL(z, 0x1.555554p-1f, 0x1.999c28p-2f, 0x1.23d314p-2f, 0x1.f16124p-3f);
    /* z's own rounding counts: 2/3 s^3 is up to 1/100 of the sum. */
    float two_s = 2.0f * s, high = pe_fmaf(n, PE_LN2, two_s);
    float lost = k == 0 ? 0.0f : two_s - pe_fmaf(-n, PE_LN2, high);
    float rest = lost + (pe_fmaf(n, PE_LN2_LOW, 2.0f * s_low) + p), sum = high + rest;
    rest += high - sum;
    float t = y * sum, low = pe_fmaf(y, rest, pe_fmaf(y, sum, -t));
    if (!pe_float_le(pe_abs_f32(t), 200.0f)) /* 0 or infinity; low is no number then */
        return pe_exp_f32(t);
    float e = pe_exp_f32(t);
    return pe_is_finite_f32(e) ? pe_fmaf(e, low, e) : e;
}

/* As C's pow. */
static inline float pe_pow_f32(float x, float y)
{
    float a = pe_abs_f32(x), ay = pe_abs_f32(y);
    if (pe_float_bits(ay) == 0 || pe_float_bits(x) == 0x3F800000)
        return 1.0f;
    if (pe_is_nan(x) || pe_is_nan(y))
        return pe_nan();
    int up = !(pe_float_bits(y) >> 31), negative = (int)(pe_float_bits(x) >> 31), odd = 0;
    int whole = pe_float_bits(pe_round_f32(y)) == pe_float_bits(y);
    if (whole && pe_float_le(ay, 0x1.fffffep+23f))
        odd = (int32_t)y & 1;
    float result;
    if (pe_float_bits(ay) == 0x7F800000) {
        if (pe_float_bits(a) == 0x3F800000)
            return 1.0f;
        return pe_float_le(a, 1.0f) == up ? 0.0f : pe_infinity();
    }
    if (pe_float_bits(a) == 0 || pe_float_bits(a) == 0x7F800000)
        result = (pe_float_bits(a) == 0) == up ? 0.0f : pe_infinity();
    else if (negative && !whole)
        return pe_nan();
    else
        result = pe_pow_positive(a, y);
    return negative && odd ? -result : result;
}
#endif
