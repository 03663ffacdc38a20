/* Rules for params that several families check. */
#ifndef PE_CHECK_H
#define PE_CHECK_H
#include <stdbool.h>
#include <stdint.h>

#include "kernels/fma.h"

static inline bool pe_is_s8(int32_t x)
{
    return x >= -128 && x <= 127;
}

static inline bool pe_is_range_s8(int32_t min, int32_t max)
{
    return pe_is_s8(min) && pe_is_s8(max) && min <= max;
}

/* -inf and +inf bound nothing; NaN is no bound. */
static inline bool pe_is_range_f32(float min, float max)
{
    return pe_float_le(min, max);
}

static inline bool pe_is_multiplier(int32_t multiplier, int32_t shift)
{
    return multiplier >= 0 && shift >= -31 && shift <= 31;
}

static inline bool pe_is_finite(float x)
{
    return (pe_float_bits(x) & 0x7F800000) != 0x7F800000;
}
#endif
