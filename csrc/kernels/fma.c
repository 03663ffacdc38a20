#include "kernels/fma.h"

/* Leading zeros of x > 0: rv32imac has no such instruction, and its compilers would call a library. */
static inline uint32_t leading_zeros(uint32_t x)
{
    uint32_t n = 0;
    for (; !(x >> 24); n += 8) /* rare: sums that cancel */
        x <<= 8;
    for (; !(x >> 31); n++)
        x <<= 1;
    return n;
}

/* 64 bits as two words, for the same reason. */
typedef struct wide {
    uint32_t high, low;
} wide;

/* x >> n; bit 0 is set if anything but zeros was shifted out, which is all that rounding asks of it. */
static inline wide shift_right_sticky(wide x, uint32_t n)
{
    if (n >= 32) {
        x = (wide){0, x.high | (x.low != 0)};
        n = n < 63 ? n - 32 : 31;
    }
    if (n == 0)
        return x;
    return (wide){x.high >> n, x.low >> n | x.high << (32 - n) | (x.low << (32 - n) != 0)};
}

/* a * b + c where one of them is an infinity or a NaN. */
static float fmaf_not_finite(uint32_t a, uint32_t b, uint32_t c)
{
    const uint32_t inf = 0x7F800000, magnitude = 0x7FFFFFFF, sign = 0x80000000;
    uint32_t ma = a & magnitude, mb = b & magnitude, mc = c & magnitude, product_sign = (a ^ b) & sign;
    int product_inf = ma == inf || mb == inf;
    if (ma > inf || mb > inf || mc > inf || (product_inf && (ma == 0 || mb == 0)) ||
        (product_inf && mc == inf && (c & sign) != product_sign))
        return pe_float_from_bits(PE_NAN_BITS);
    return pe_float_from_bits(product_inf ? product_sign | inf : c);
}

/* A subnormal's mantissa, moved up to bit 23; *exponent becomes that of a number without limits. */
static uint32_t normalize(uint32_t mantissa, int32_t *exponent)
{
    uint32_t n = leading_zeros(mantissa) - 8;
    *exponent = 1 - (int32_t)n;
    return mantissa << n;
}

float pe_fmaf_soft(float fa, float fb, float fc)
{
    uint32_t a = pe_float_bits(fa), b = pe_float_bits(fb), c = pe_float_bits(fc);
    int32_t ea = (int32_t)(a >> 23 & 255), eb = (int32_t)(b >> 23 & 255), ec = (int32_t)(c >> 23 & 255);
    uint32_t ma = a & 0x7FFFFF, mb = b & 0x7FFFFF, mc = c & 0x7FFFFF;
    uint32_t sign = (a ^ b) & 0x80000000, sign_c = c & 0x80000000;

    if (ea == 255 || eb == 255 || ec == 255)
        return fmaf_not_finite(a, b, c);
    if (ea)
        ma |= 0x800000;
    else if (ma)
        ma = normalize(ma, &ea);
    if (eb)
        mb |= 0x800000;
    else if (mb)
        mb = normalize(mb, &eb);
    if (ma == 0 || mb == 0) /* a zero product: c, but +0 for zeros of both signs */
        return pe_float_from_bits((ec | (int32_t)mc) == 0 && sign != sign_c ? 0 : c);

    /* The product, with its top bit at 61 or 62, and c, with its top bit at 61: value = words * 2^exponent. */
    uint64_t product = (uint64_t)(ma << 8) * (mb << 7);
    wide p = {(uint32_t)(product >> 32), (uint32_t)product};
    int32_t exponent = ea + eb - 315;
    if (ec)
        mc |= 0x800000;
    else if (mc)
        mc = normalize(mc, &ec);
    if (mc) {
        wide q = {mc << 6, 0};
        int32_t distance = exponent - (ec - 188);
        if (distance >= 0)
            q = shift_right_sticky(q, (uint32_t)distance);
        else {
            p = shift_right_sticky(p, (uint32_t)-distance);
            exponent = ec - 188;
        }
        if (sign == sign_c) {
            p.low += q.low;
            p.high += q.high + (p.low < q.low);
        } else {
            uint32_t borrow = p.low < q.low;
            p.low -= q.low;
            p.high -= q.high + borrow;
            if (p.high >> 31) { /* c was larger */
                sign = sign_c;
                p.high = ~p.high + (p.low == 0);
                p.low = 0u - p.low;
            }
            if ((p.high | p.low) == 0)
                return 0;
        }
    }

    /* Move the top bit to 63. */
    if (p.high == 0) {
        p.high = p.low;
        p.low = 0;
        exponent -= 32;
    }
    uint32_t n = leading_zeros(p.high);
    if (n) {
        p.high = p.high << n | p.low >> (32 - n);
        p.low <<= n;
    }
    exponent += 63 + 127 - (int32_t)n; /* biased */
    if (exponent < 1) {
        p = shift_right_sticky(p, (uint32_t)(1 - exponent));
        exponent = 1;
    }
    /* 24 bits, half to even; a carry goes on into the exponent, and so to infinity. */
    uint32_t mantissa = p.high >> 8, rest = (p.high & 255) | (p.low != 0);
    mantissa += (rest + 127 + (mantissa & 1)) >> 8;
    if (exponent >= 255)
        return pe_float_from_bits(sign | 0x7F800000);
    return pe_float_from_bits(sign | (((uint32_t)(exponent - 1) << 23) + mantissa));
}
