#include "cumsum.h"
#include "typed.h"

/* cumsum_any: running sums along an axis, every dtype but bool: floats in float64, each rounded once; integers modulo their
 * size. */

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    *text = "cumsum_any: dtypes";
    if (c->tensor[0]->dtype == PE_BOOL)
        return PE_ERR_SHAPE;
    *text = pe_cumsum_fault(c);
    return *text ? PE_ERR_SHAPE : PE_OK;
}

static void run(const pe_call *c)
{
    const pe_cumsum_params *p = c->params;
    const void *x = c->data[0];
    void *y = c->data[2];
    uint8_t dtype = c->tensor[0]->dtype;
    pe_axis a = pe_cumsum_axis(c);
    for (uint32_t line = 0; line < a.outer * a.inner; line++) {
        uint32_t start = line / a.inner * a.n * a.inner + line % a.inner;
        double real = 0;
        uint64_t integer = 0;
        for (uint32_t k = 0; k < a.n; k++) {
            uint32_t at = start + (p->reverse ? a.n - 1 - k : k) * a.inner;
            if (pe_is_float_dtype(dtype)) {
                double next = real + pe_load_f64(x, dtype, at);
                pe_store_f64(y, dtype, at, p->exclusive ? real : next);
                real = next;
            } else {
                uint64_t next = integer + (uint64_t)pe_load_s64(x, dtype, at);
                pe_store_s64(y, dtype, at, (int64_t)(p->exclusive ? integer : next));
                integer = next;
            }
        }
    }
}

const pe_op_def pe_op_def_cumsum_any = {
    .kind = PE_OP_CUMSUM_ANY,
    .params_bytes = sizeof(pe_cumsum_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "cumsum_any",
    .check = check,
    .run = run,
};
