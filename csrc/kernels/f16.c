#include "kernels/f16.h"

#ifndef __riscv_zfh /* f16.h has it */

/* A mantissa with its top bit at 29: value = bits * 2^exponent. */
typedef struct scaled {
    uint32_t bits;
    int32_t exponent;
} scaled;

/* bits > 0, below 2^30. */
static inline scaled scale_up(uint32_t bits, int32_t exponent)
{
    for (; !(bits >> 29); exponent--)
        bits <<= 1;
    return (scaled){bits, exponent};
}

/* x >> n; bit 0 is set if anything but zeros was shifted out, which is all that rounding asks of it. */
static inline uint32_t shift_right_sticky(uint32_t x, uint32_t n)
{
    if (n == 0)
        return x;
    return n > 31 ? x != 0 : x >> n | (x << (32 - n) != 0);
}

/* a * b + c where one of them is an infinity or a NaN. */
static uint16_t fma_not_finite(uint16_t a, uint16_t b, uint16_t c)
{
    const uint16_t inf = 0x7C00, nan = 0x7E00;
    const uint16_t ma = a & 0x7FFF, mb = b & 0x7FFF, mc = c & 0x7FFF, sign = (a ^ b) & 0x8000;
    const int product_inf = ma == inf || mb == inf;
    if (ma > inf || mb > inf || mc > inf || (product_inf && (ma == 0 || mb == 0)) ||
        (product_inf && mc == inf && (c & 0x8000) != sign))
        return nan;
    return product_inf ? sign | inf : c;
}

uint16_t pe_fma16(uint16_t a, uint16_t b, uint16_t c)
{
    const int32_t ea = a >> 10 & 31, eb = b >> 10 & 31, ec = c >> 10 & 31;
    /* Of value mantissa * 2^(exponent - 25); a subnormal has exponent 1 and no leading bit. */
    const uint32_t ma = (a & 1023u) | (ea ? 1024u : 0), mb = (b & 1023u) | (eb ? 1024u : 0);
    const uint32_t mc = (c & 1023u) | (ec ? 1024u : 0);
    uint16_t sign = (a ^ b) & 0x8000;
    if (ea == 31 || eb == 31 || ec == 31)
        return fma_not_finite(a, b, c);
    if (ma == 0 || mb == 0) /* a zero product: c, but +0 for zeros of both signs */
        return mc == 0 && sign != (c & 0x8000) ? 0 : c;

    /* The product has 22 bits and c 11, so of the smaller one no bit is lost that a cancellation could bring up. */
    scaled p = scale_up(ma * mb << 8, (ea ? ea : 1) + (eb ? eb : 1) - 58);
    if (mc) {
        scaled q = scale_up(mc << 19, (ec ? ec : 1) - 44);
        const int32_t distance = p.exponent - q.exponent;
        if (distance >= 0)
            q.bits = shift_right_sticky(q.bits, (uint32_t)distance);
        else
            p = (scaled){shift_right_sticky(p.bits, (uint32_t)-distance), q.exponent};
        if (sign == (c & 0x8000))
            p.bits += q.bits;
        else if (p.bits >= q.bits)
            p.bits -= q.bits;
        else {
            p.bits = q.bits - p.bits;
            sign = c & 0x8000;
        }
        if (p.bits == 0)
            return 0;
    }

    /* The top bit to 30, 11 bits from there, half to even; a carry goes on into the exponent, and so to infinity. */
    for (; !(p.bits >> 30); p.exponent--)
        p.bits <<= 1;
    int32_t exponent = p.exponent + 30 + 15;
    if (exponent < 1) {
        p.bits = shift_right_sticky(p.bits, (uint32_t)(1 - exponent));
        exponent = 1;
    }
    if (exponent >= 31)
        return sign | 0x7C00;
    const uint32_t mantissa = (p.bits + 0x7FFFF + (p.bits >> 20 & 1)) >> 20;
    return (uint16_t)(sign | (((uint32_t)(exponent - 1) << 10) + mantissa));
}
#endif
