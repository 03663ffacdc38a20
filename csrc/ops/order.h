/* Elements of any dtype in order, by integers alone: comparing costs no float code. */
#ifndef PE_ORDER_H
#define PE_ORDER_H
#include "ops.h"

/* Sign and magnitude of a float to an integer in the same order; both zeros are 0. */
static inline int64_t pe_order_float(uint64_t bits, uint64_t sign, uint64_t infinity, int64_t nan)
{
    uint64_t magnitude = bits & (sign - 1);
    if (magnitude > infinity)
        return nan;
    return magnitude == bits ? (int64_t)magnitude : -(int64_t)magnitude;
}

/* A number that is larger for a larger element; `nan` for NaN. */
static inline int64_t pe_order(const void *data, uint8_t dtype, uint32_t i, int64_t nan)
{
    switch (dtype) {
    case PE_S8: return ((const int8_t *)data)[i];
    case PE_U8: return ((const uint8_t *)data)[i];
    case PE_S16: return ((const int16_t *)data)[i];
    case PE_U16: return ((const uint16_t *)data)[i];
    case PE_S32: return ((const int32_t *)data)[i];
    case PE_U32: return ((const uint32_t *)data)[i];
    case PE_S64: return ((const int64_t *)data)[i];
    case PE_U64: return (int64_t)(((const uint64_t *)data)[i] ^ (1ull << 63));
    case PE_F32: return pe_order_float(((const uint32_t *)data)[i], 1ull << 31, 0x7F800000, nan);
    case PE_F16: return pe_order_float(((const uint16_t *)data)[i], 1ull << 15, 0x7C00, nan);
    case PE_BF16: return pe_order_float(((const uint16_t *)data)[i], 1ull << 15, 0x7F80, nan);
    case PE_F64: return pe_order_float(((const uint64_t *)data)[i], 1ull << 63, 0x7FF0000000000000, nan);
    default: return ((const uint8_t *)data)[i] != 0;
    }
}

/* What comes first has the larger key: the largest element, or with `smallest` the smallest. NaN comes first in both. */
static inline int64_t pe_order_key(const void *data, uint8_t dtype, uint32_t i, bool smallest)
{
    int64_t key = pe_order(data, dtype, i, smallest ? INT64_MIN : INT64_MAX);
    return smallest ? ~key : key;
}

static inline void pe_store_index(void *y, uint8_t dtype, uint32_t i, uint32_t index)
{
    if (dtype == PE_S64)
        ((int64_t *)y)[i] = index;
    else
        ((int32_t *)y)[i] = (int32_t)index;
}

/* y[to] = x[from], elements of 2^shift bytes. */
static inline void pe_move_element(void *y, uint32_t to, const void *x, uint32_t from, uint32_t shift)
{
    switch (shift) {
    case 0: ((uint8_t *)y)[to] = ((const uint8_t *)x)[from]; break;
    case 1: ((uint16_t *)y)[to] = ((const uint16_t *)x)[from]; break;
    case 2: ((uint32_t *)y)[to] = ((const uint32_t *)x)[from]; break;
    default: ((uint64_t *)y)[to] = ((const uint64_t *)x)[from]; break;
    }
}
#endif
