#include <stdbool.h>
#include <stdint.h>

typedef int16_t real;

static inline real r_add(real a, real b)
{
    return (real)(a + b);
}

static inline real r_sub(real a, real b)
{
    return (real)(a - b);
}

static inline real r_neg(real a)
{
    return (real)-a;
}

/* Of a Q15 product. Modulo 2^32: factors are constants, and may hold anything. */
static inline real r_round(uint32_t x)
{
    return (real)((int32_t)(x + (1u << 14)) >> 15);
}

static inline real r_shrink(real x, int32_t k)
{
    return r_round((uint32_t)(x * (INT16_MAX / k)));
}

static inline real r_dot(real a, real b, real c, real d, bool minus)
{
    uint32_t first = (uint32_t)(a * b), second = (uint32_t)(c * d);
    return r_round(minus ? first - second : first + second);
}

static inline real r_half(real x, real y, bool minus)
{
    return (real)((minus ? x - y : x + y) >> 1);
}

/* The inverse's last step: its butterflies have divided already. */
static inline real r_mean(real x, uint32_t n)
{
    (void)n;
    return x;
}

#define REAL_DTYPE PE_S16
#include "fft.h"

/* signal_rfft_s16, signal_irfft_s16: Q15; sums wrap. */

const pe_op_def pe_op_def_signal_rfft_s16 = {
    .kind = PE_OP_SIGNAL_RFFT_S16,
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "signal_rfft_s16",
    .check = check_rfft,
    .run = run_rfft,
};
const pe_op_def pe_op_def_signal_irfft_s16 = {
    .kind = PE_OP_SIGNAL_IRFFT_S16,
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "signal_irfft_s16",
    .check = check_irfft,
    .run = run_irfft,
};
