/* pe_fmaf_soft and pe_fmaf_double against the C library's fmaf: hard random triples. Usage: fma_test [millions [seed]]
 */
#include "kernels/fma.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t state;

static uint32_t random_bits(void) /* splitmix64 */
{
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (uint32_t)(z >> 32);
}

/* Few distinct mantissas at both ends of the range, so that products are sparse and halves are frequent. */
static uint32_t random_float(void)
{
    uint32_t r = random_bits(), mantissa = random_bits() & 0x7FFFFF, exponent = r >> 24;
    switch (r & 7) {
    case 0: mantissa = 0; break;
    case 1: mantissa = 0x7FFFFF; break;
    case 2: mantissa = 1u << (r >> 8 & 31) & 0x7FFFFF; break;
    case 3: mantissa = (0x7FFFFFu << (r >> 8 & 31)) & 0x7FFFFF; break;
    default: break;
    }
    switch (r >> 3 & 7) {
    case 0: exponent = 0; break;
    case 1: exponent = r >> 13 & 1 ? 254 : 255; break;
    case 2: exponent = 100 + (exponent & 63); break;
    case 3: exponent &= 31; break;
    default: break;
    }
    return (r >> 6 & 1) << 31 | exponent << 23 | mantissa;
}

/* c near -a * b, near half of the last place of a * b, or anything. */
static float addend(float a, float b)
{
    uint32_t r = random_bits(), c;
    float product = a * b;
    switch (r & 3) {
    case 0: c = pe_float_bits(-product) + (r >> 2 & 7) - 4; break;
    case 1: /* another exponent, at a distance where the product's bits straddle the rounding position */
        c = pe_float_bits(product) + ((r >> 2 & 63) << 23) - (32u << 23);
        c ^= (r >> 8 & 1) << 31;
        c &= r >> 9 & 1 ? 0xFFFFFFFF : 0xFF800000;
        break;
    default: c = random_float(); break;
    }
    return pe_float_from_bits(c);
}

static int same(float x, float y)
{
    return pe_float_bits(x) == pe_float_bits(y) || (pe_is_nan(x) && pe_is_nan(y));
}

int main(int argc, char **argv)
{
    uint64_t n = (argc > 1 ? strtoull(argv[1], NULL, 10) : 10) * 1000000;
    state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    for (uint64_t i = 0; i < n; i++) {
        float a = pe_float_from_bits(random_float()), b = pe_float_from_bits(random_float()), c = addend(a, b);
        float expected = fmaf(a, b, c), soft = pe_fmaf_soft(a, b, c), twice = pe_fmaf_double(a, b, c);
        if (!same(soft, expected) || !same(twice, expected)) {
            printf("fmaf(%08" PRIx32 ", %08" PRIx32 ", %08" PRIx32 "): expected %08" PRIx32 ", soft %08" PRIx32
                   ", double %08" PRIx32 "\n",
                   pe_float_bits(a), pe_float_bits(b), pe_float_bits(c), pe_float_bits(expected), pe_float_bits(soft),
                   pe_float_bits(twice));
            return 1;
        }
    }
    printf("%" PRIu64 " triples equal\n", n);
    return 0;
}
