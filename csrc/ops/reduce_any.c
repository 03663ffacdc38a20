#include "reduce.h"
#include "typed.h"

/* reduce_any: as reduce_f32 for every dtype but bool: floats in float64 and rounded once, integers modulo their size. The
 * mean of integers is cut off towards zero. */

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_reduce_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    (void)scratch_bytes;
    *text = "reduce_any: dtypes";
    if (x->dtype != y->dtype || x->dtype == PE_BOOL)
        return PE_ERR_SHAPE;
    *text = "reduce_any: reduction";
    if (p->reduction > PE_REDUCE_SUM_SQUARE || p->reduction == PE_REDUCE_MAX || p->reduction == PE_REDUCE_MIN)
        return PE_ERR_SHAPE;
    *text = pe_reduce_fault(x, y, p->axes);
    return *text ? PE_ERR_SHAPE : PE_OK;
}

static double join_f64(uint32_t reduction, double sum, double x)
{
    switch (reduction) {
    case PE_REDUCE_PROD: return sum * x;
    case PE_REDUCE_SUM_ABS: return sum + (x < 0 ? -x : x);
    case PE_REDUCE_SUM_SQUARE: return sum + x * x;
    default: return sum + x;
    }
}

static uint64_t join_u64(uint32_t reduction, uint64_t sum, uint64_t x, bool negative)
{
    switch (reduction) {
    case PE_REDUCE_PROD: return sum * x;
    case PE_REDUCE_SUM_ABS: return negative ? sum - x : sum + x;
    case PE_REDUCE_SUM_SQUARE: return sum + x * x;
    default: return sum + x;
    }
}

static void run(const pe_call *c)
{
    const pe_reduce_params *p = c->params;
    const void *x = c->data[0];
    void *y = c->data[1];
    uint8_t dtype = c->tensor[0]->dtype;
    bool floats = pe_is_float_dtype(dtype), mean = p->reduction == PE_REDUCE_MEAN;
    pe_loops kept, reduced;
    uint32_t count, at = 0, unused = 0, to = 0;
    pe_reduce_loops(c->tensor[0], p->axes, &kept, &reduced, &count);
    do {
        for (uint32_t i = 0; i < kept.n[0]; i++, to++) {
            uint32_t xt = at + i * kept.a[0];
            uint64_t integer = p->reduction == PE_REDUCE_PROD;
            double real = (double)integer;
            do {
                for (uint32_t k = 0; k < reduced.n[0]; k++) {
                    uint32_t from = xt + k * reduced.a[0];
                    if (floats) {
                        real = join_f64(p->reduction, real, pe_load_f64(x, dtype, from));
                    } else {
                        int64_t v = pe_load_s64(x, dtype, from);
                        integer = join_u64(p->reduction, integer, (uint64_t)v, v < 0 && dtype != PE_U64);
                    }
                }
            } while (pe_loops_next(&reduced, &xt, &unused));
            if (floats)
                pe_store_f64(y, dtype, to, mean ? real / (double)count : real);
            else if (mean && dtype == PE_U64)
                pe_store_s64(y, dtype, to, (int64_t)(integer / count));
            else
                pe_store_s64(y, dtype, to, mean ? (int64_t)integer / (int64_t)count : (int64_t)integer);
        }
    } while (pe_loops_next(&kept, &at, &unused));
}

const pe_op_def pe_op_def_reduce_any = {
    .kind = PE_OP_REDUCE_ANY,
    .params_bytes = sizeof(pe_reduce_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "reduce_any",
    .check = check,
    .run = run,
};
