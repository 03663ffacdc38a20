/* int16 codes, TFLite's "16x8": activations int16 with zero point 0, weights int8. */
#ifndef PE_S16_H
#define PE_S16_H
#include <stdbool.h>

#include "requantize.h"

static inline bool pe_is_s16(int32_t x)
{
    return x >= INT16_MIN && x <= INT16_MAX;
}

static inline bool pe_is_range_s16(int32_t min, int32_t max)
{
    return pe_is_s16(min) && pe_is_s16(max) && min <= max;
}

/* The sum of x * w, exact. */
static inline int64_t pe_dot_s16(const int16_t *x, const int8_t *w, size_t n)
{
    const size_t most = 256; /* products, each up to 2^22, that an int32 can take */
    int64_t sum = 0;
    while (n) {
        size_t m = n < most ? n : most;
        int32_t part = 0;
        for (size_t i = 0; i < m; i++)
            part += x[i] * w[i];
        sum += part;
        x += m;
        w += m;
        n -= m;
    }
    return sum;
}

/* sum * a / 2^b to the nearest, halves up: TFLite's MultiplyByQuantizedMultiplier of a 64-bit sum, with the multiplier's
 * upper 15 bits in a. Modulo 2^32; any bits of a and b are defined. */
static inline int32_t pe_requantize_s64(int64_t sum, int32_t a, int32_t b)
{
    const uint32_t shift = (uint32_t)b & 63;
    const uint64_t half = (1ull << shift) >> 1;
    return (int32_t)((int64_t)((uint64_t)sum * ((uint32_t)a & 0x7FFF) + half) >> shift);
}

static inline int64_t pe_bias_s16(const pe_channel_s16 *q)
{
    return (int64_t)((uint64_t)(uint32_t)q->bias_high << 32 | (uint32_t)q->bias_low);
}

/* table[0 .. 512] stands for x = -32768, -32640, .. 32768; linear between: TFLite's LUTLookup. */
static inline int16_t pe_lookup_s16(const int16_t *table, int32_t x)
{
    const int16_t *at = table + 256 + (x >> 7);
    const int16_t slope = (int16_t)(at[1] - at[0]);
    return (int16_t)(at[0] + ((slope * (x & 127) + 64) >> 7));
}
#endif
