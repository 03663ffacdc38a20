/* exp, with the same bits on every core: FMAs and exact steps only (docs/arithmetic.md, "exp"). */
#ifndef PE_EXP_H
#define PE_EXP_H
#include "kernels/fma.h"

/* e^x, within 0.91 ulp of the exact value for every binary32 x (tests/csrc/exp_test.c), subnormal results included.
 * Above 88.7228 it is +inf, below -103.97 it is 0; NaN gives NaN.
 *
 * x = n ln2 + r, |r| <= ln2 / 2 (Cody and Waite; with an FMA and ln2 in two parts only the second step rounds), then
 * e^r = 1 + r + r^2 q(r) with q of degree 4, minimax in relative error on |r| <= 0.3473 (2^-27.8 after its coefficients were
 * rounded), then 2^n in two factors, of which the first is exact, so that subnormal results are rounded once. */
static inline float pe_exp_f32(float x)
{
    const float log2e = 0x1.715476p+0f, ln2_high = 0x1.62e43p-1f, ln2_low = -0x1.05c61p-29f;
    const float to_integer = 0x1.8p+23f; /* the sum with it has the integer in its low bits */
    if (pe_is_nan(x))
        return x;
    x = pe_clip_f32(x, -104.0f, 89.0f); /* 0 and +inf already */
    float shifted = pe_fmaf(x, log2e, to_integer), n = shifted - to_integer;
    int32_t k = (int32_t)(pe_float_bits(shifted) - pe_float_bits(to_integer)); /* -151 .. 129 */
    float r = pe_fmaf(n, -ln2_low, pe_fmaf(n, -ln2_high, x));
    float q = 0x1.6a2256p-10f;
    q = pe_fmaf(q, r, 0x1.123b02p-7f);
    q = pe_fmaf(q, r, 0x1.5558f8p-5f);
    q = pe_fmaf(q, r, 0x1.555490p-3f);
    q = pe_fmaf(q, r, 0x1.fffffcp-2f);
    q = pe_fmaf(q, r, 1.0f);
    q = pe_fmaf(q, r, 1.0f);
    int32_t half = k >> 1;
    return q * pe_float_from_bits((uint32_t)(half + 127) << 23) * pe_float_from_bits((uint32_t)(k - half + 127) << 23);
}
#endif
