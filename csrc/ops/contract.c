#include "kernels/fma.h"
#include "typed.h"

/* contract_any: y[outer loops] = sum over the inner loops of the product of 1 .. 3 operands, each with a stride a loop:
 * Einstein sums and matrix products of any dtype. y is contiguous in the order of the outer loops.
 *
 * Floats of 16 and 32 bits are accumulated as FP32: acc = fma(a, b, acc) in ascending order of the inner loops, the
 * last one fastest; of three operands a * b is rounded first. float64: a * b + acc, each rounded. Integers wrap. */

/* Moves loops first .. end - 1, the last one fastest, and with them the element offsets; false after the last, with all
 * back at the start. */
static bool next(const pe_contract_params *p, uint32_t first, uint32_t end, uint32_t *at, uint32_t *offset)
{
    for (uint32_t i = end; i-- > first;) {
        const bool more = ++at[i] < (uint32_t)p->size[i];
        for (uint32_t k = 0; k < PE_CONTRACT_OPERANDS; k++) {
            const uint32_t stride = (uint32_t)p->stride[k * PE_CONTRACT_LOOPS + i];
            offset[k] += more ? stride : 0u - stride * ((uint32_t)p->size[i] - 1);
        }
        if (more)
            return true;
        at[i] = 0;
    }
    return false;
}

static double term_f64(const pe_call *c, const uint32_t *offset, uint32_t k)
{
    return pe_load_f64(c->data[k], c->tensor[k]->dtype, offset[k]);
}

static float term_f32(const pe_call *c, const uint32_t *offset, uint32_t k)
{
    return (float)term_f64(c, offset, k);
}

static void run(const pe_call *c)
{
    const pe_contract_params *p = c->params;
    const uint32_t outer = (uint32_t)p->outer, loops = (uint32_t)p->loops, operands = c->inputs;
    const uint8_t dtype = c->tensor[operands]->dtype;
    uint32_t at[PE_CONTRACT_LOOPS] = {0}, offset[PE_CONTRACT_OPERANDS] = {0}, y = 0;
    do {
        float f32 = 0;
        double f64 = 0;
        uint64_t s64 = 0;
        do {
            if (dtype == PE_F64) {
                double product = term_f64(c, offset, 0);
                for (uint32_t k = 1; k < operands; k++)
                    product *= term_f64(c, offset, k);
                f64 += product;
            } else if (pe_is_float_dtype(dtype)) {
                float product = term_f32(c, offset, 0);
                for (uint32_t k = 1; k + 1 < operands; k++)
                    product *= term_f32(c, offset, k);
                f32 = operands == 1 ? f32 + product : pe_fmaf(product, term_f32(c, offset, operands - 1), f32);
            } else {
                uint64_t product = (uint64_t)pe_load_s64(c->data[0], dtype, offset[0]);
                for (uint32_t k = 1; k < operands; k++)
                    product *= (uint64_t)pe_load_s64(c->data[k], dtype, offset[k]);
                s64 += product;
            }
        } while (next(p, outer, loops, at, offset));
        if (pe_is_float_dtype(dtype))
            pe_store_f64(c->data[operands], dtype, y++, dtype == PE_F64 ? f64 : (double)f32);
        else
            pe_store_s64(c->data[operands], dtype, y++, (int64_t)s64);
    } while (next(p, 0, outer, at, offset));
}

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_contract_params *p = c->params;
    const pe_tensor *y = c->tensor[c->inputs];
    uint64_t outputs = 1, inner = 1;
    (void)scratch_bytes;
    *text = "contract: more loops than there is room for";
    if (p->loops < 0 || p->loops > PE_CONTRACT_LOOPS || p->outer < 0 || p->outer > p->loops)
        return PE_ERR_SHAPE;
    *text = "contract: a loop is empty, or there are more steps than 2^30";
    for (int32_t i = 0; i < p->loops; i++) {
        if (p->size[i] < 1)
            return PE_ERR_SHAPE;
        uint64_t *n = i < p->outer ? &outputs : &inner;
        *n *= (uint32_t)p->size[i];
        if (*n > PE_MAX_EXTENT)
            return PE_ERR_SHAPE;
    }
    *text = "contract: y does not have an element for each step of the outer loops";
    if (pe_tensor_elements(y) != outputs || y->dtype == PE_BOOL)
        return PE_ERR_SHAPE;
    *text = "contract: an operand is of another dtype, or its strides lead out of it";
    for (uint32_t k = 0; k < c->inputs; k++) {
        uint64_t last = 0;
        for (int32_t i = 0; i < p->loops; i++) {
            const int32_t stride = p->stride[k * PE_CONTRACT_LOOPS + (uint32_t)i];
            if (stride < 0)
                return PE_ERR_SHAPE;
            last += (uint64_t)(uint32_t)stride * ((uint32_t)p->size[i] - 1);
            if (last >= pe_tensor_elements(c->tensor[k]))
                return PE_ERR_SHAPE;
        }
        if (c->tensor[k]->dtype != y->dtype)
            return PE_ERR_SHAPE;
    }
    return PE_OK;
}

const pe_op_def pe_op_def_contract_any = {
    .kind = PE_OP_CONTRACT_ANY,
    .params_bytes = sizeof(pe_contract_params),
    .min_inputs = 1,
    .max_inputs = PE_CONTRACT_OPERANDS,
    .outputs = 1,
    .name = "contract_any",
    .check = check,
    .run = run,
};
