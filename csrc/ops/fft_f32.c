#include <stdbool.h>
#include <stdint.h>

typedef float real;

static inline real r_add(real a, real b)
{
    return a + b;
}

static inline real r_sub(real a, real b)
{
    return a - b;
}

static inline real r_neg(real a)
{
    return -a;
}

/* Floats need no headroom. */
static inline real r_shrink(real x, int32_t k)
{
    (void)k;
    return x;
}

static inline real r_dot(real a, real b, real c, real d, bool minus)
{
    return minus ? a * b - c * d : a * b + c * d;
}

static inline real r_half(real x, real y, bool minus)
{
    return (minus ? x - y : x + y) * 0.5f;
}

/* The inverse's last step: its butterflies have not divided. */
static inline real r_mean(real x, uint32_t n)
{
    return x / (float)n;
}

#define REAL_DTYPE PE_F32
#include "fft.h"

/* signal_rfft_f32, signal_irfft_f32: each product and sum is rounded; the inverse is divided by its length. */

const pe_op_def pe_op_def_signal_rfft_f32 = {
    .kind = PE_OP_SIGNAL_RFFT_F32,
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "signal_rfft_f32",
    .check = check_rfft,
    .run = run_rfft,
};
const pe_op_def pe_op_def_signal_irfft_f32 = {
    .kind = PE_OP_SIGNAL_IRFFT_F32,
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "signal_irfft_f32",
    .check = check_irfft,
    .run = run_irfft,
};
