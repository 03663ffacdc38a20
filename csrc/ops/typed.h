/* One element of a tensor of any dtype, as a double or as an int64_t. For ops that take every dtype; they bring
 * float64 and int64 code with them, so the fast kernels of float32 and int8 stay away from here. */
#ifndef PE_TYPED_H
#define PE_TYPED_H
#include "codec.h"
#include "ops.h"

static inline bool pe_is_float_dtype(uint8_t dtype)
{
    return dtype == PE_F32 || dtype == PE_F16 || dtype == PE_F64 || dtype == PE_BF16;
}

static inline bool pe_is_unsigned_dtype(uint8_t dtype)
{
    return dtype == PE_U8 || dtype == PE_U16 || dtype == PE_U32 || dtype == PE_U64;
}

static inline double pe_abs_f64(double x)
{
    return pe_double_from_bits(pe_double_bits(x) & INT64_MAX);
}

static inline double pe_copysign_f64(double x, double sign)
{
    return pe_double_from_bits((pe_double_bits(x) & INT64_MAX) | (pe_double_bits(sign) & (1ull << 63)));
}

/* The sign of a zero is x's. */
static inline double pe_floor_f64(double x)
{
    double a = pe_abs_f64(x);
    if (!(a < 0x1p+52))
        return x;
    double y = pe_copysign_f64((double)(int64_t)a, x);
    return y <= x ? y : y - 1;
}

/* The square root to the nearest; NaN of a negative number. Digit by digit in integers: 54 bits, of which the last rounds. */
static inline double pe_sqrt_f64(double x)
{
    uint64_t bits = pe_double_bits(x), mantissa = bits & 0xFFFFFFFFFFFFF;
    if (bits << 1 == 0 || bits >= 0x7FF0000000000000)
        return bits << 1 == 0 || bits == 0x7FF0000000000000 ? x : pe_double_from_bits(0x7FF8000000000000);
    int32_t exponent = (int32_t)(bits >> 52) - 1023;
    if (exponent == -1023)
        for (exponent = -1022; !(mantissa >> 52); exponent--)
            mantissa <<= 1;
    else
        mantissa |= 1ull << 52;
    uint64_t rest = 0, root = 0, digits = mantissa << (exponent & 1 ? 11 : 10); /* two bits a step, from the top */
    for (int i = 0; i < 54; i++) {
        rest = rest << 2 | digits >> 62;
        digits <<= 2;
        uint64_t next = root << 2 | 1;
        root = root << 1 | (rest >= next);
        rest -= rest >= next ? next : 0;
    }
    return pe_double_from_bits(((root + 1) >> 1) + ((uint64_t)((exponent >> 1) + 1022) << 52));
}

/* An element of an integer or bool dtype. uint64: modulo 2^64, so its upper half is negative. */
static inline int64_t pe_load_s64(const void *data, uint8_t dtype, uint32_t i)
{
    switch (dtype) {
    case PE_S8: return ((const int8_t *)data)[i];
    case PE_U8: return ((const uint8_t *)data)[i];
    case PE_S16: return ((const int16_t *)data)[i];
    case PE_U16: return ((const uint16_t *)data)[i];
    case PE_S32: return ((const int32_t *)data)[i];
    case PE_U32: return ((const uint32_t *)data)[i];
    case PE_S64:
    case PE_U64: return ((const int64_t *)data)[i];
    default: return ((const uint8_t *)data)[i] != 0;
    }
}

/* An element of any dtype; exact but for 64-bit integers beyond 2^53, which are rounded. */
static inline double pe_load_f64(const void *data, uint8_t dtype, uint32_t i)
{
    switch (dtype) {
    case PE_F32: return (double)((const float *)data)[i];
    case PE_F64: return ((const double *)data)[i];
    case PE_F16: return pe_decode(PE_BINARY16, ((const uint16_t *)data)[i]);
    case PE_BF16: return pe_decode(PE_BFLOAT16, ((const uint16_t *)data)[i]);
    case PE_U64: return (double)((const uint64_t *)data)[i];
    default: return (double)pe_load_s64(data, dtype, i);
    }
}

/* x modulo 2^bits of an integer dtype, as C converts; bool: x != 0. */
static inline void pe_store_s64(void *data, uint8_t dtype, uint32_t i, int64_t x)
{
    switch (dtype) {
    case PE_S8:
    case PE_U8: ((uint8_t *)data)[i] = (uint8_t)x; break;
    case PE_S16:
    case PE_U16: ((uint16_t *)data)[i] = (uint16_t)x; break;
    case PE_S32:
    case PE_U32: ((uint32_t *)data)[i] = (uint32_t)x; break;
    case PE_S64:
    case PE_U64: ((int64_t *)data)[i] = x; break;
    default: ((uint8_t *)data)[i] = x != 0; break;
    }
}

/* x cut off towards zero and saturated to [min, max]; NaN gives 0. */
static inline int64_t pe_saturate_s64(double x, int64_t min, int64_t max)
{
    if (x <= (double)min)
        return min;
    return x >= (double)max ? max : x == x ? (int64_t)x : 0;
}

/* x rounded once to a float dtype (halves to even, infinity beyond the largest number), or cut off and saturated to an
 * integer dtype; bool: x != 0. */
static inline void pe_store_f64(void *data, uint8_t dtype, uint32_t i, double x)
{
    switch (dtype) {
    case PE_F32: ((float *)data)[i] = (float)x; return;
    case PE_F64: ((double *)data)[i] = x; return;
    case PE_F16: ((uint16_t *)data)[i] = (uint16_t)pe_encode(PE_BINARY16, x, PE_OVERFLOW_SPECIAL); return;
    case PE_BF16: ((uint16_t *)data)[i] = (uint16_t)pe_encode(PE_BFLOAT16, x, PE_OVERFLOW_SPECIAL); return;
    case PE_BOOL: ((uint8_t *)data)[i] = !(x == 0); return;
    case PE_U64: ((uint64_t *)data)[i] = !(x > 0) ? 0 : x >= 0x1p64 ? UINT64_MAX : (uint64_t)x; return;
    case PE_S8: x = (double)pe_saturate_s64(x, INT8_MIN, INT8_MAX); break;
    case PE_U8: x = (double)pe_saturate_s64(x, 0, UINT8_MAX); break;
    case PE_S16: x = (double)pe_saturate_s64(x, INT16_MIN, INT16_MAX); break;
    case PE_U16: x = (double)pe_saturate_s64(x, 0, UINT16_MAX); break;
    case PE_S32: x = (double)pe_saturate_s64(x, INT32_MIN, INT32_MAX); break;
    case PE_U32: x = (double)pe_saturate_s64(x, 0, UINT32_MAX); break;
    default: pe_store_s64(data, dtype, i, pe_saturate_s64(x, INT64_MIN, INT64_MAX)); return;
    }
    pe_store_s64(data, dtype, i, (int64_t)x);
}
#endif
