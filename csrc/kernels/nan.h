/* A NaN's payload depends on the CPU; what leaves is the same everywhere. Few outputs have one: they are read first, in a
 * loop that becomes vectors of the level that a file is compiled for, and written only then. */
#ifndef PE_NAN_H
#define PE_NAN_H
#include "kernels/fma.h"
#include "ops/ops.h"

static inline void pe_canonicalize_f32(uint32_t *y, size_t n)
{
    uint32_t below = 0; /* its sign: that of a difference below 0 */
    for (size_t i = 0; i < n; i++)
        below |= 0x7F800000 - (y[i] & 0x7FFFFFFF);
    for (size_t i = 0; below >> 31 && i < n; i++)
        y[i] = (y[i] & 0x7FFFFFFF) > 0x7F800000 ? PE_NAN_BITS : y[i];
}

static inline void pe_canonicalize_16(uint16_t *y, size_t n, uint16_t infinity, uint16_t nan)
{
    uint16_t below = 0;
    for (size_t i = 0; i < n; i++)
        below |= (uint16_t)(infinity - (y[i] & 0x7FFF));
    for (size_t i = 0; below >> 15 && i < n; i++)
        y[i] = (y[i] & 0x7FFF) > infinity ? nan : y[i];
}

static inline void pe_canonicalize_f16(uint16_t *y, size_t n)
{
    pe_canonicalize_16(y, n, 0x7C00, 0x7E00);
}

/* For layers whose y is float32 or float16 (layers.h). */
static inline void pe_canonicalize_floats(const pe_tensor *y, void *data)
{
    if (y->dtype == PE_F16)
        pe_canonicalize_f16(data, pe_tensor_elements(y));
    else
        pe_canonicalize_f32(data, pe_tensor_elements(y));
}
#endif
