/* Remainders of floats, exact, by long division of the significands. */
#ifndef PE_REMAINDER_H
#define PE_REMAINDER_H
#include "math_f32.h"

/* a mod b of significands with implicit exponents: (a * 2^shift) mod b, a and b < 2^53, b > 0. */
static inline uint64_t pe_long_remainder(uint64_t a, uint64_t b, int32_t shift)
{
    for (a %= b; shift > 0 && a != 0; shift--) {
        a <<= 1;
        a -= a >= b ? b : 0;
    }
    return a;
}

/* a - b trunc(a / b), as C's fmod: the sign of a; NaN of a infinite, b zero. */
static inline float pe_fmod_f32(float a, float b)
{
    uint32_t x = pe_float_bits(pe_abs_f32(a)), y = pe_float_bits(pe_abs_f32(b));
    if (x >= 0x7F800000 || y > 0x7F800000 || y == 0)
        return pe_nan();
    if (x < y)
        return a;
    int32_t ex = x >> 23 ? (int32_t)(x >> 23) : 1, ey = y >> 23 ? (int32_t)(y >> 23) : 1;
    uint32_t mx = x >> 23 ? (x & 0x7FFFFF) | 0x800000 : x, my = y >> 23 ? (y & 0x7FFFFF) | 0x800000 : y;
    uint32_t rest = (uint32_t)pe_long_remainder(mx, my, ex - ey); /* times 2^(ey - 150) */
    for (; rest && ey > 1 && !(rest >> 23); ey--)
        rest <<= 1;
    return pe_copysign_f32(pe_float_from_bits(rest >> 23 ? (rest & 0x7FFFFF) | (uint32_t)ey << 23 : rest), a);
}

/* As Python's %: the sign of b. */
static inline float pe_mod_f32(float a, float b)
{
    float rest = pe_fmod_f32(a, b);
    if (pe_float_bits(rest) << 1 == 0)
        return pe_copysign_f32(rest, b);
    return (pe_float_bits(rest) ^ pe_float_bits(b)) >> 31 && !pe_is_nan(rest) ? rest + b : rest;
}
#endif
