#include "check.h"
#include "loops.h"
#include "ops.h"
#include "requantize.h"

/* mean over the axes of a bit mask. y has x's shape with those axes 1 or left out; only their order of elements counts. */

static pe_status check_shapes(const pe_call *c, uint8_t dtype, const char **text)
{
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    uint32_t axes = ((const pe_mean_params *)c->params)->axes;
    *text = "mean: dtypes";
    if (x->dtype != dtype || y->dtype != dtype)
        return PE_ERR_SHAPE;
    *text = "mean: an axis that x does not have";
    if (axes >> x->rank != 0)
        return PE_ERR_SHAPE;
    *text = "mean: y is not x without the reduced axes";
    uint32_t k = 0;
    bool keep = y->rank == x->rank;
    for (uint32_t i = 0; i < x->rank; i++) {
        bool reduced = axes >> i & 1;
        if (reduced && !keep)
            continue;
        if (k >= y->rank || y->dims[k++] != (reduced ? 1 : x->dims[i]))
            return PE_ERR_SHAPE;
    }
    return k == y->rank ? PE_OK : PE_ERR_SHAPE;
}

/* Loops over y's elements and, for each, over what is reduced; both in ascending order, strides in elements of x. */
static void loops_of(const pe_call *c, pe_loops *kept, pe_loops *reduced, uint32_t *count)
{
    const pe_tensor *x = c->tensor[0];
    uint32_t axes = ((const pe_mean_params *)c->params)->axes, stride = 1;
    *kept = *reduced = (pe_loops){0};
    *count = 1;
    for (uint32_t k = 0; k < x->rank; k++) {
        uint32_t n = pe_dim_from_right(x, k);
        if (axes >> (x->rank - 1 - k) & 1) {
            pe_loops_add(reduced, n, stride, 0);
            *count *= n;
        } else {
            pe_loops_add(kept, n, stride, 0);
        }
        stride *= n;
    }
    pe_loops_end(kept);
    pe_loops_end(reduced);
}

static pe_status check_s8(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_mean_params *p = c->params;
    (void)scratch_bytes;
    pe_status status = check_shapes(c, PE_S8, text);
    if (status != PE_OK)
        return status;
    *text = "mean_s8: params";
    return pe_is_s8(p->x_zero_point) && pe_is_s8(p->y_zero_point) && pe_is_multiplier(p->multiplier, p->shift)
               ? PE_OK
               : PE_ERR_SHAPE;
}

static void run_s8(const pe_call *c)
{
    const pe_mean_params *p = c->params;
    const int8_t *x = c->data[0];
    int8_t *y = c->data[1];
    pe_loops kept, reduced;
    uint32_t count, at = 0, unused = 0;
    const pe_output_s8 out = {p->y_zero_point, -128, 127};
    loops_of(c, &kept, &reduced, &count);
    do {
        for (uint32_t i = 0; i < kept.n[0]; i++) {
            uint32_t sum = 0u - (uint32_t)p->x_zero_point * count, xt = at + i * kept.a[0];
            do {
                for (uint32_t k = 0; k < reduced.n[0]; k++)
                    sum += (uint32_t)x[xt + k * reduced.a[0]];
            } while (pe_loops_next(&reduced, &xt, &unused));
            *y++ = pe_requantize_s8(sum, p->multiplier, p->shift, &out);
        }
    } while (pe_loops_next(&kept, &at, &unused));
}

static pe_status check_f32(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    return check_shapes(c, PE_F32, text);
}

static void run_f32(const pe_call *c)
{
    const float *x = c->data[0];
    float *y = c->data[1];
    pe_loops kept, reduced;
    uint32_t count, at = 0, unused = 0;
    loops_of(c, &kept, &reduced, &count);
    do {
        for (uint32_t i = 0; i < kept.n[0]; i++) {
            uint32_t xt = at + i * kept.a[0];
            float sum = 0;
            do {
                for (uint32_t k = 0; k < reduced.n[0]; k++)
                    sum += x[xt + k * reduced.a[0]];
            } while (pe_loops_next(&reduced, &xt, &unused));
            *y++ = sum / (float)count;
        }
    } while (pe_loops_next(&kept, &at, &unused));
}

const pe_op_def pe_op_def_mean_s8 = {
    .kind = PE_OP_MEAN_S8,
    .params_bytes = sizeof(pe_mean_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "mean_s8",
    .check = check_s8,
    .run = run_s8,
};

const pe_op_def pe_op_def_mean_f32 = {
    .kind = PE_OP_MEAN_F32,
    .params_bytes = sizeof(pe_mean_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "mean_f32",
    .check = check_f32,
    .run = run_f32,
};
