/* What the FFTs of all element types share. */
#ifndef PE_FFT_SHAPE_H
#define PE_FFT_SHAPE_H
#include "ops.h"

#define PE_FFT_MIN 4
#define PE_FFT_MAX 65536

static inline uint32_t pe_last_dim(const pe_tensor *t)
{
    return (uint32_t)t->dims[t->rank - 1];
}

/* Of a power of 2. */
static inline bool pe_is_power_of_4(uint32_t n)
{
    return (n & 0x55555555) != 0;
}

/* Where element i of the first butterflies' input stands in the signal: the digits of i, base 4 (the last one base 2 if m
 * is no power of 4), in reverse order. */
static inline uint32_t pe_fft_source(uint32_t i, uint32_t m)
{
    uint32_t source = 0, step = 1;
    while (m > 1) {
        uint32_t radix = m % 4 == 0 ? 4 : 2;
        m /= radix;
        source += i / m * step;
        i %= m;
        step *= radix;
    }
    return source;
}

/* x, table and y have one dtype; along the last axis the spectrum, x or y, has two elements more than a power of 2; the axes
 * before it are the same in both. */
static inline const char *pe_fft_fault(const pe_call *c, uint8_t dtype, const pe_tensor *spectrum)
{
    const pe_tensor *x = c->tensor[0], *table = c->tensor[1], *y = c->tensor[2];
    if (x->dtype != dtype || table->dtype != dtype || y->dtype != dtype)
        return "signal fft: dtypes";
    if (x->rank < 1 || x->rank != y->rank)
        return "signal fft: ranks";
    for (uint32_t i = 0; i + 1 < x->rank; i++) {
        if (x->dims[i] != y->dims[i])
            return "signal fft: x and y have different rows";
    }
    uint32_t length = pe_last_dim(spectrum) - 2;
    if (length < PE_FFT_MIN || length > PE_FFT_MAX || (length & (length - 1)) != 0)
        return "signal fft: the length is no power of 2 from 4 to 65536";
    if (table->rank != 2 || (uint32_t)table->dims[0] != length / 4 * 3 || table->dims[1] != 2)
        return "signal fft: the table does not fit the length";
    return NULL;
}
#endif
