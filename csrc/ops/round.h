#ifndef PE_ROUND_H
#define PE_ROUND_H
#include <stdint.h>

#include "kernels/fma.h"

/* x to the nearest integer, halves away from zero, as LiteRT's QUANTIZE. Beyond +-2^17, which saturates any int8 or
 * int16, it is cut off so that the conversion is defined; NaN is 0. */
static inline int32_t pe_round_half_away(float x)
{
    if (pe_is_nan(x))
        return 0;
    x = pe_clip_f32(x, -0x1p17f, 0x1p17f);
    int32_t y = (int32_t)x;
    float rest = x - (float)y; /* exact */
    return y + pe_float_le(0.5f, rest) - pe_float_le(rest, -0.5f);
}
#endif
