#include "ops/requantize.h"

int32_t pe_requantize_litert_ref(int32_t sum, int32_t low, int32_t high)
{
    const uint64_t one = 1;
    uint32_t magnitude = sum < 0 ? 0u - (uint32_t)sum : (uint32_t)sum;
    uint64_t mantissa = (uint64_t)((uint32_t)high & 0xFFFFF) << 32 | (uint32_t)low;
    int32_t exponent = (int32_t)((uint32_t)high >> 20 & 0x7FF);
    if (exponent)
        mantissa |= one << 52;
    else
        exponent = 1;
    exponent -= 1075;

    /* magnitude * mantissa < 2^84, as upper * 2^32 + lower. */
    uint64_t lower = (mantissa & 0xFFFFFFFF) * magnitude;
    uint64_t upper = (mantissa >> 32) * magnitude + (lower >> 32);
    lower &= 0xFFFFFFFF;

    /* To a double's 53 bits, half to even. */
    uint32_t drop = 0; /* at most 31 */
    while (upper >> (21 + drop))
        drop++;
    uint64_t product = upper << (32 - drop) | lower >> drop, rest = lower & ((one << drop) - 1);
    uint64_t half = one << drop >> 1;
    if (drop)
        product += rest > half || (rest == half && (product & 1));
    exponent += (int32_t)drop;

    /* To an integer, half away from zero. A product other than 0 of a normal scale is at least 2^52. */
    uint64_t y = 0;
    if (exponent >= 0)
        y = product ? INT32_MAX : 0;
    else if (exponent >= -54)
        y = (product + (one << (-exponent - 1))) >> -exponent;
    if (y > INT32_MAX)
        y = INT32_MAX;
    return (sum < 0) != (high < 0) ? -(int32_t)y : (int32_t)y;
}
