/* gemmlowp's fixed-point functions, as TFLM and LiteRT's reference kernels use them. A number is a raw int32; Qm.n in
 * the comments has m integer and n fraction bits. Every function is defined for every argument. */
#ifndef PE_FIXED_H
#define PE_FIXED_H
#include "requantize.h"

/* x << n, saturated; 0 <= n <= 30. */
static inline int32_t pe_shift_left_saturated(int32_t x, int32_t n)
{
    int32_t max = INT32_MAX >> n;
    return x > max ? INT32_MAX : x < -max - 1 ? INT32_MIN : (int32_t)((uint32_t)x << n);
}

static inline int32_t pe_add_wrapped(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

/* Zeros above the highest bit that is set; 32 for 0. */
static inline int32_t pe_leading_zeros(uint32_t x)
{
    int32_t zeros = 32;
    for (; x; x >>= 1)
        zeros--;
    return zeros;
}

/* e^a for a in [-1/4, 0), Q0.31: Taylor around -1/8. */
static inline int32_t pe_exp_quarter(int32_t a)
{
    const int32_t exp_minus_eighth = 1895147668, third = 715827883;
    int32_t x = pe_add_wrapped(a, 1 << 28), x2 = pe_srdhm(x, x), x3 = pe_srdhm(x2, x), x4 = pe_srdhm(x2, x2);
    int32_t high = pe_rdbpot(pe_add_wrapped(pe_srdhm(pe_add_wrapped(pe_rdbpot(x4, 2), x3), third), x2), 1);
    return pe_add_wrapped(exp_minus_eighth, pe_srdhm(exp_minus_eighth, pe_add_wrapped(x, high)));
}

/* e^a for a <= 0, Q5.26 to Q0.31. */
static inline int32_t pe_exp_negative(int32_t a)
{
    /* e^-(2^i / 4), Q0.31 */
    static const int32_t power[] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
    const int32_t quarter = 1 << 24;
    if (a == 0)
        return INT32_MAX;
    int32_t in_quarter = (a & (quarter - 1)) - quarter;
    uint32_t rest = (uint32_t)in_quarter - (uint32_t)a;
    int32_t y = pe_exp_quarter(pe_shift_left_saturated(in_quarter, 5));
    for (uint32_t i = 0; i < sizeof power / sizeof power[0]; i++) {
        if (rest >> (24 + i) & 1)
            y = pe_srdhm(y, power[i]);
    }
    return y;
}

/* 1 / (1 + a) for a in [0, 1), Q0.31: three Newton steps from 48/17 - 32/17 d. */
static inline int32_t pe_reciprocal(int32_t a)
{
    const int32_t c48_17 = 1515870810, minus_c32_17 = -1010580540, one = 1 << 29; /* Q2.29 */
    int32_t d = (int32_t)(((int64_t)a + INT32_MAX + 1) / 2);                      /* (1 + a) / 2, Q0.31; a >= 0 */
    int32_t x = pe_add_wrapped(c48_17, pe_srdhm(d, minus_c32_17));
    for (int i = 0; i < 3; i++) {
        int32_t error = (int32_t)((uint32_t)one - (uint32_t)pe_srdhm(d, x));
        x = pe_add_wrapped(x, pe_shift_left_saturated(pe_srdhm(x, error), 2));
    }
    return pe_shift_left_saturated(x, 1);
}
#endif
