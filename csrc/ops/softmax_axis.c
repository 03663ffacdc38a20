#include "math_f32.h"
#include "typed.h"

/* softmax, log_softmax and hardmax of floats over any axis. 16-bit floats are computed as FP32. x and y are
 * [outer][n][inner] around the axis. */

typedef struct row {
    const pe_call *c;
    uint32_t first, n, step; /* elements */
} row;

static float load(const row *r, uint32_t i)
{
    return (float)pe_load_f64(r->c->data[0], r->c->tensor[0]->dtype, r->first + i * r->step);
}

static void store(const row *r, uint32_t i, float y)
{
    pe_store_f64(r->c->data[1], r->c->tensor[0]->dtype, r->first + i * r->step, (double)y);
}

/* The first largest element; the first NaN if there is one. */
static uint32_t find_max(const row *r)
{
    uint32_t best = 0;
    float max = load(r, 0);
    for (uint32_t i = 1; i < r->n; i++) {
        float v = load(r, i);
        if (!pe_float_le(v, max) && !pe_is_nan(max)) {
            max = v;
            best = i;
        }
    }
    return best;
}

/* e^(x - max), again for each use, so that a row needs no memory. */
static float run_exp(const row *r, uint32_t i, float max)
{
    return pe_exp_f32(load(r, i) - max);
}

static void softmax(const row *r)
{
    const float max = load(r, find_max(r));
    float sum = 0;
    for (uint32_t i = 0; i < r->n; i++)
        sum += run_exp(r, i, max);
    for (uint32_t i = 0; i < r->n; i++)
        store(r, i, run_exp(r, i, max) / sum);
}

static void log_softmax(const row *r)
{
    const float max = load(r, find_max(r));
    float sum = 0;
    for (uint32_t i = 0; i < r->n; i++)
        sum += run_exp(r, i, max);
    const float log_sum = pe_log_f32(sum);
    for (uint32_t i = 0; i < r->n; i++)
        store(r, i, load(r, i) - max - log_sum);
}

static void hardmax(const row *r)
{
    const uint32_t best = find_max(r);
    for (uint32_t i = 0; i < r->n; i++)
        store(r, i, i == best ? 1.0f : 0.0f);
}

static void run(const pe_call *c, void (*f)(const row *))
{
    const pe_tensor *x = c->tensor[0];
    const uint32_t axis = (uint32_t)((const pe_axis_params *)c->params)->axis, n = (uint32_t)x->dims[axis];
    uint32_t inner = 1;
    for (uint32_t i = axis + 1; i < x->rank; i++)
        inner *= (uint32_t)x->dims[i];
    for (uint32_t first = 0; first < pe_tensor_elements(x); first += n * inner)
        for (uint32_t i = 0; i < inner; i++)
            f(&(row){c, first + i, n, inner});
}

static void run_softmax(const pe_call *c)
{
    run(c, softmax);
}

static void run_log_softmax(const pe_call *c)
{
    run(c, log_softmax);
}

static void run_hardmax(const pe_call *c)
{
    run(c, hardmax);
}

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    const int32_t axis = ((const pe_axis_params *)c->params)->axis;
    (void)scratch_bytes;
    *text = "softmax_axis: x and y are not float32, float16 or bfloat16 of one shape, or the axis is none of them";
    if ((x->dtype != PE_F32 && x->dtype != PE_F16 && x->dtype != PE_BF16) || y->dtype != x->dtype ||
        x->rank != y->rank || axis < 0 || axis >= x->rank)
        return PE_ERR_SHAPE;
    for (uint32_t i = 0; i < x->rank; i++)
        if (x->dims[i] != y->dims[i])
            return PE_ERR_SHAPE;
    return PE_OK;
}

#define SOFTMAX_AXIS_DEF(op, KIND, runs)        \
    const pe_op_def pe_op_def_##op = {          \
        .kind = PE_OP_##KIND,                   \
        .params_bytes = sizeof(pe_axis_params), \
        .min_inputs = 1,                        \
        .max_inputs = 1,                        \
        .outputs = 1,                           \
        .name = #op,                            \
        .check = check,                         \
        .run = runs,                            \
    };

SOFTMAX_AXIS_DEF(softmax_axis, SOFTMAX_AXIS, run_softmax)
SOFTMAX_AXIS_DEF(log_softmax_axis, LOG_SOFTMAX_AXIS, run_log_softmax)
SOFTMAX_AXIS_DEF(hardmax_axis, HARDMAX_AXIS, run_hardmax)
