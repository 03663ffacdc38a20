/* The functions of one variable of binary32, by number (docs/arithmetic.md, "Elementwise"). In three groups, so that a
 * firmware has only those that its plan needs. */
#ifndef PE_FUNCTIONS_H
#define PE_FUNCTIONS_H
#include <stdbool.h>

#include "math_f32.h"
#include "plan.h"

static inline bool pe_is_comparison(uint32_t function)
{
    return function >= PE_FN_EQUAL && function <= PE_FN_GREATER_EQUAL;
}

static inline bool pe_is_bool_function(uint32_t function)
{
    return function == PE_FN_IS_NAN || function == PE_FN_IS_INF || pe_is_comparison(function);
}

static inline bool pe_compare_s32(uint32_t function, int32_t a, int32_t b)
{
    switch (function) {
    case PE_FN_EQUAL: return a == b;
    case PE_FN_NOT_EQUAL: return a != b;
    case PE_FN_LESS: return a < b;
    case PE_FN_LESS_EQUAL: return a <= b;
    case PE_FN_GREATER: return a > b;
    default: return a >= b;
    }
}

static inline float pe_max_f32(float a, float b)
{
    return pe_is_nan(a) || (!pe_is_nan(b) && pe_float_le(b, a)) ? a : b;
}

static inline float pe_min_f32(float a, float b)
{
    return pe_is_nan(a) || (!pe_is_nan(b) && pe_float_le(a, b)) ? a : b;
}

static inline float pe_hard_sigmoid_f32(float x, float alpha, float beta)
{
    return pe_clip_f32(alpha * x + beta, 0.0f, 1.0f);
}

static inline float pe_basic_f32(const pe_function_params *p, float x)
{
    uint32_t bits = pe_float_bits(x);
    bool negative = bits >> 31;
    switch (p->function) {
    case PE_FN_ABS: return pe_abs_f32(x);
    case PE_FN_NEG: return -x;
    case PE_FN_FLOOR: return pe_floor_f32(x);
    case PE_FN_CEIL: return pe_ceil_f32(x);
    case PE_FN_ROUND: return pe_round_f32(x);
    case PE_FN_SIGN: return pe_is_nan(x) || bits << 1 == 0 ? x : negative ? -1.0f : 1.0f;
    case PE_FN_SQRT: return pe_sqrt_f32(x);
    case PE_FN_RSQRT: return 1.0f / pe_sqrt_f32(x);
    case PE_FN_RECIPROCAL: return 1.0f / x;
    case PE_FN_SQUARE: return x * x;
    case PE_FN_IS_NAN: return pe_is_nan(x) ? 1.0f : 0.0f;
    case PE_FN_IS_INF: return bits << 1 == 0xFF000000 ? negative ? p->alpha : p->beta : 0.0f;
    case PE_FN_LEAKY_RELU: return pe_float_le(0.0f, x) ? x : p->alpha * x;
    case PE_FN_THRESHOLDED_RELU: return pe_float_le(x, p->alpha) ? 0.0f : x;
    case PE_FN_HARD_SIGMOID: return pe_hard_sigmoid_f32(x, p->alpha, p->beta);
    case PE_FN_HARD_SWISH: return x * pe_hard_sigmoid_f32(x, p->alpha, p->beta);
    default: return x / (1.0f + pe_abs_f32(x)); /* softsign */
    }
}

static inline float pe_exponential_f32(const pe_function_params *p, float x)
{
    bool positive = pe_float_le(0.0f, x);
    switch (p->function) {
    case PE_FN_EXP: return pe_exp_f32(x);
    case PE_FN_LOG: return pe_log_f32(x);
    case PE_FN_SINH: return pe_sinh_f32(x);
    case PE_FN_COSH: return pe_cosh_f32(x);
    case PE_FN_TANH: return pe_tanh_f32(x);
    case PE_FN_ASINH: return pe_asinh_f32(x);
    case PE_FN_ACOSH: return pe_acosh_f32(x);
    case PE_FN_ATANH: return pe_atanh_f32(x);
    case PE_FN_ERF: return pe_erf_f32(x);
    case PE_FN_SIGMOID: return pe_sigmoid_f32(x);
    case PE_FN_SOFTPLUS: return pe_softplus_f32(x);
    case PE_FN_ELU: return positive ? x : p->alpha * pe_expm1_f32(x);
    case PE_FN_SELU: return p->beta * (positive ? x : p->alpha * pe_expm1_f32(x));
    case PE_FN_CELU: return positive ? x : p->alpha * pe_expm1_f32(x / p->alpha);
    case PE_FN_MISH: return x * pe_tanh_f32(pe_softplus_f32(x));
    case PE_FN_GELU: return 0.5f * x * (1.0f + pe_erf_f32(0x1.6a09e6p-1f * x));
    case PE_FN_GELU_TANH: {
        float inner = 0x1.988454p-1f * pe_fmaf(0x1.6e4e26p-5f * x * x, x, x); /* sqrt(2 / pi) (x + 0.044715 x^3) */
        return 0.5f * x * (1.0f + pe_tanh_f32(inner));
    }
    default: return x * pe_sigmoid_f32(p->alpha * x); /* swish */
    }
}

static inline float pe_trigonometric_f32(const pe_function_params *p, float x)
{
    switch (p->function) {
    case PE_FN_SIN: return pe_sin_cos_f32(x, 0);
    case PE_FN_COS: return pe_sin_cos_f32(x, 1);
    case PE_FN_TAN: return pe_tan_f32(x);
    case PE_FN_ASIN: return pe_asin_f32(x);
    case PE_FN_ACOS: return pe_acos_f32(x);
    default: return pe_atan_f32(x);
    }
}

static inline bool pe_is_basic(uint32_t f)
{
    return f >= PE_FN_ABS && f <= PE_FN_SOFTSIGN;
}

static inline bool pe_is_exponential(uint32_t f)
{
    return f >= PE_FN_EXP && f <= PE_FN_SWISH;
}

static inline bool pe_is_trigonometric(uint32_t f)
{
    return f >= PE_FN_SIN && f <= PE_FN_ATAN;
}
#endif
