/* What the two forms of reduce_math share: norms and logarithms of sums in binary32, in ascending order. */
#ifndef PE_REDUCE_MATH_H
#define PE_REDUCE_MATH_H
#include "exp.h"
#include "math_f32.h"
#include "reduce.h"

typedef struct pe_reduce_math {
    const void *x;
    uint8_t dtype;
    float (*load)(const void *x, uint8_t dtype, uint32_t i);
    pe_loops reduced;
} pe_reduce_math;

/* NULL, or what is wrong apart from dtypes. */
static inline const char *pe_reduce_math_fault(const pe_call *c)
{
    const pe_reduce_params *p = c->params;
    if (p->reduction < PE_REDUCE_L2 || p->reduction > PE_REDUCE_LOG_SUM_EXP)
        return "reduction";
    return pe_reduce_fault(c->tensor[0], c->tensor[1], p->axes);
}

/* The largest element from `at` on; NaN is passed by. 0 where it is not finite, so that infinities stay what they are. */
static inline float pe_reduce_math_largest(pe_reduce_math *r, uint32_t at)
{
    float max = -pe_infinity();
    uint32_t unused = 0;
    do {
        for (uint32_t k = 0; k < r->reduced.n[0]; k++) {
            float x = r->load(r->x, r->dtype, at + k * r->reduced.a[0]);
            max = x > max ? x : max;
        }
    } while (pe_loops_next(&r->reduced, &at, &unused));
    return pe_is_finite_f32(max) ? max : 0.0f;
}

/* The result of the elements from `at` on. */
static inline float pe_reduce_math_one(pe_reduce_math *r, uint32_t reduction, uint32_t at)
{
    float max = reduction == PE_REDUCE_LOG_SUM_EXP ? pe_reduce_math_largest(r, at) : 0.0f, sum = 0;
    uint32_t unused = 0;
    do {
        for (uint32_t k = 0; k < r->reduced.n[0]; k++) {
            float x = r->load(r->x, r->dtype, at + k * r->reduced.a[0]);
            if (reduction == PE_REDUCE_L2)
                sum = pe_fmaf(x, x, sum);
            else
                sum += reduction == PE_REDUCE_LOG_SUM ? x : pe_exp_f32(x - max);
        }
    } while (pe_loops_next(&r->reduced, &at, &unused));
    return reduction == PE_REDUCE_L2 ? pe_sqrt_f32(sum) : pe_log_f32(sum) + max;
}
#endif
