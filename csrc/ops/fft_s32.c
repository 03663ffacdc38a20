#include <stdbool.h>
#include <stdint.h>

typedef int32_t real;

static inline real r_add(real a, real b)
{
    return (real)((uint32_t)a + (uint32_t)b);
}

static inline real r_sub(real a, real b)
{
    return (real)((uint32_t)a - (uint32_t)b);
}

static inline real r_neg(real a)
{
    return (real) - (uint32_t)a;
}

/* Of a Q31 product. Modulo 2^64: factors are constants, and may hold anything. */
static inline real r_round(uint64_t x)
{
    return (real)((int64_t)(x + (1u << 30)) >> 31);
}

static inline real r_shrink(real x, int32_t k)
{
    return r_round((uint64_t)((int64_t)x * (INT32_MAX / k)));
}

static inline real r_dot(real a, real b, real c, real d, bool minus)
{
    uint64_t first = (uint64_t)((int64_t)a * b), second = (uint64_t)((int64_t)c * d);
    return r_round(minus ? first - second : first + second);
}

static inline real r_half(real x, real y, bool minus)
{
    return (minus ? r_sub(x, y) : r_add(x, y)) >> 1;
}

/* The inverse's last step: its butterflies have divided already. */
static inline real r_mean(real x, uint32_t n)
{
    (void)n;
    return x;
}

#define REAL_DTYPE PE_S32
#include "fft.h"

/* signal_rfft_s32, signal_irfft_s32: Q31; sums wrap. */

const pe_op_def pe_op_def_signal_rfft_s32 = {
    .kind = PE_OP_SIGNAL_RFFT_S32,
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "signal_rfft_s32",
    .check = check_rfft,
    .run = run_rfft,
};
const pe_op_def pe_op_def_signal_irfft_s32 = {
    .kind = PE_OP_SIGNAL_IRFFT_S32,
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "signal_irfft_s32",
    .check = check_irfft,
    .run = run_irfft,
};
