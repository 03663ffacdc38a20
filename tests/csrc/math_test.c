/* The elementary functions of csrc/ops/math_f32.h against the C library's in double, for every STEP-th binary32 (pow and
 * atan2: pairs of them). Usage: math_test [step]. Fails beyond the bounds of docs/arithmetic.md. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ops/math_f32.h"

static float sin_f32(float x)
{
    return pe_sin_cos_f32(x, 0);
}

static float cos_f32(float x)
{
    return pe_sin_cos_f32(x, 1);
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double softplus(double x)
{
    return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}

static const struct {
    const char *name;
    float (*ours)(float);
    double (*exact)(double);
    double bound; /* ulp */
} functions[] = {
    {"sqrt", pe_sqrt_f32, sqrt, 0.5},
    {"log", pe_log_f32, log, 1.0},
    {"log1p", pe_log1p_f32, log1p, 1.5},
    {"expm1", pe_expm1_f32, expm1, 1.5},
    {"sin", sin_f32, sin, 1.0},
    {"cos", cos_f32, cos, 1.0},
    {"tan", pe_tan_f32, tan, 2.5},
    {"asin", pe_asin_f32, asin, 2.0},
    {"acos", pe_acos_f32, acos, 2.0},
    {"atan", pe_atan_f32, atan, 2.0},
    {"sinh", pe_sinh_f32, sinh, 3.0},
    {"cosh", pe_cosh_f32, cosh, 3.0},
    {"tanh", pe_tanh_f32, tanh, 3.0},
    {"asinh", pe_asinh_f32, asinh, 3.5},
    {"acosh", pe_acosh_f32, acosh, 3.5},
    {"atanh", pe_atanh_f32, atanh, 3.5},
    {"erf", pe_erf_f32, erf, 1.5},
    {"sigmoid", pe_sigmoid_f32, sigmoid, 3.0},
    {"softplus", pe_softplus_f32, softplus, 3.0},
    {"round", pe_round_f32, rint, 0.5},
    {"floor", pe_floor_f32, floor, 0.5},
    {"ceil", pe_ceil_f32, ceil, 0.5},
};

static int failed;

/* Error in units of the last place of a binary32 next to exact; a huge number where NaN or infinity do not agree. */
static double ulps(float y, double exact)
{
    if (isnan(exact) || isnan(y))
        return isnan(exact) && isnan(y) ? 0 : 1e9;
    if (fabs(exact) >= 0x1.ffffffp127)
        return isinf(y) && (y > 0) == (exact > 0)                           ? 0
               : fabs(exact) < 0x1.000004p128 && fabsf(y) > 0x1.fffff0p127f ? 1
                                                                            : 1e9;
    if (isinf(y))
        return fabs(exact) > 0x1.fffff0p127 ? 1 : 1e9;
    int exponent;
    frexp(exact, &exponent);
    return fabs((double)y - exact) / ldexp(1, (exponent < -125 ? -125 : exponent) - 24);
}

static void report(const char *name, double worst, float x, float y, double bound)
{
    printf("%-9s %.4f ulp at %a, %a%s\n", name, worst, (double)x, (double)y, worst > bound ? "  TOO MUCH" : "");
    failed |= worst > bound;
}

static void test_pairs(const char *name, float (*ours)(float, float), double (*exact)(double, double), uint64_t step,
                       double bound)
{
    double worst = 0;
    float worst_x = 0, worst_y = 0;
    uint64_t state = 1;
    for (uint64_t n = 0; n < (1ull << 33) / step; n++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        float x = pe_float_from_bits((uint32_t)(state >> 32)), y = pe_float_from_bits((uint32_t)(state >> 11));
        if (n % 4 == 1) /* where powers are neither 0 nor infinite */
            x = fabsf(pe_float_from_bits((uint32_t)(state >> 32) % 0x4000000 + 0x3E000000)), y = remainderf(y, 300.0f);
        if (n % 4 == 2) /* next to 1, large exponents */
            x = 1.0f + remainderf(x, 0x1p-4f), y = remainderf(y, 0x1p+14f);
        if (n % 4 == 3) /* whole exponents, negative bases */
            x = remainderf(x, 64.0f), y = rintf(remainderf(y, 30.0f));
        double error = ulps(ours(x, y), exact((double)x, (double)y));
        if (error > worst)
            worst = error, worst_x = x, worst_y = y;
    }
    report(name, worst, worst_x, worst_y, bound);
}

int main(int argc, char **argv)
{
    uint64_t step = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
        double worst = 0;
        float worst_x = 0;
        for (uint64_t bits = 0; bits <= UINT32_MAX; bits += step) {
            float x = pe_float_from_bits((uint32_t)bits);
            double error = ulps(functions[f].ours(x), functions[f].exact((double)x));
            if (error > worst)
                worst = error, worst_x = x;
        }
        report(functions[f].name, worst, worst_x, 0, functions[f].bound);
    }
    test_pairs("pow", pe_pow_f32, pow, step, 4.0);
    test_pairs("atan2", pe_atan2_f32, atan2, step, 2.5);
    return failed;
}
