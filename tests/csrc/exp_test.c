/* pe_exp_f32 against the C library's double exp, for every STEP-th binary32. Usage: exp_test [step]. 1, the default,
 * takes two minutes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ops/exp.h"

int main(int argc, char **argv)
{
    uint64_t step = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    const double overflow = 0x1.ffffffp127; /* rounds to infinity from here on */
    double worst = 0;
    float worst_x = 0;
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += step) {
        float x = pe_float_from_bits((uint32_t)bits), y = pe_exp_f32(x);
        double exact = exp((double)x);
        if (isnan(x) ? !isnan(y) : isinf(y) != (exact >= overflow)) {
            printf("exp(%a) = %a\n", (double)x, (double)y);
            return 1;
        }
        if (isnan(x) || isinf(y))
            continue;
        int exponent;
        frexp(exact, &exponent);
        if (exact < 0x1p-126)
            exponent = -125;
        double error = fabs((double)y - exact) / ldexp(1, exponent - 24);
        if (error > worst) {
            worst = error;
            worst_x = x;
        }
    }
    printf("largest error %.4f ulp, at %a\n", worst, (double)worst_x);
    return worst < 0.91 ? 0 : 1;
}
