#include "exp.h"
#include "math_f32.h"
#include "reduce.h"

/* reduce_math_f32: the Euclidean norm, the logarithm of the sum, and that of the sum of exponentials, over the axes of a bit
 * mask, element after element in ascending order. Apart from reduce_f32, for they bring sqrt, log and exp with them. */

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_reduce_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    (void)scratch_bytes;
    *text = "reduce_math_f32: dtypes";
    if (x->dtype != PE_F32 || y->dtype != PE_F32)
        return PE_ERR_SHAPE;
    *text = "reduce_math_f32: reduction";
    if (p->reduction < PE_REDUCE_L2 || p->reduction > PE_REDUCE_LOG_SUM_EXP)
        return PE_ERR_SHAPE;
    *text = pe_reduce_fault(x, y, p->axes);
    return *text ? PE_ERR_SHAPE : PE_OK;
}

typedef struct walk {
    const float *x;
    pe_loops reduced;
} walk;

/* The largest element from `at` on; NaN is passed by. 0 where it is not finite, so that infinities stay what they are. */
static float largest(walk *w, uint32_t at)
{
    float max = -pe_infinity();
    uint32_t unused = 0;
    do {
        for (uint32_t k = 0; k < w->reduced.n[0]; k++) {
            float x = w->x[at + k * w->reduced.a[0]];
            max = x > max ? x : max;
        }
    } while (pe_loops_next(&w->reduced, &at, &unused));
    return pe_is_finite_f32(max) ? max : 0.0f;
}

static float reduce_one(walk *w, uint32_t reduction, uint32_t at)
{
    float max = reduction == PE_REDUCE_LOG_SUM_EXP ? largest(w, at) : 0.0f, sum = 0;
    uint32_t unused = 0;
    do {
        for (uint32_t k = 0; k < w->reduced.n[0]; k++) {
            float x = w->x[at + k * w->reduced.a[0]];
            if (reduction == PE_REDUCE_L2)
                sum = pe_fmaf(x, x, sum);
            else
                sum += reduction == PE_REDUCE_LOG_SUM ? x : pe_exp_f32(x - max);
        }
    } while (pe_loops_next(&w->reduced, &at, &unused));
    return reduction == PE_REDUCE_L2 ? pe_sqrt_f32(sum) : pe_log_f32(sum) + max;
}

static void run(const pe_call *c)
{
    const pe_reduce_params *p = c->params;
    walk w = {.x = c->data[0]};
    float *y = c->data[1];
    pe_loops kept;
    uint32_t count, at = 0, unused = 0;
    pe_reduce_loops(c->tensor[0], p->axes, &kept, &w.reduced, &count);
    do {
        for (uint32_t i = 0; i < kept.n[0]; i++)
            *y++ = reduce_one(&w, p->reduction, at + i * kept.a[0]);
    } while (pe_loops_next(&kept, &at, &unused));
}

const pe_op_def pe_op_def_reduce_math_f32 = {
    .kind = PE_OP_REDUCE_MATH_F32,
    .params_bytes = sizeof(pe_reduce_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "reduce_math_f32",
    .check = check,
    .run = run,
};
