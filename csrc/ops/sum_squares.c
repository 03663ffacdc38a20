#include "f16.h"

/* sum_squares: the sum of the squares of all elements of x, float32 or float16, and of `before`, if there: float32[1].
 * In 16 lanes, element i in lane i % 16, each ascending from +0 by a product and an addition; then lanes are added in halves,
 * l and l + 8, l + 4 .., and lane 0 to `before`. */

#define PE_LANES 16

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_tensor *before = c->inputs > 1 ? c->tensor[1] : NULL, *y = c->tensor[c->inputs];
    (void)scratch_bytes;
    *text = "sum_squares: x is neither float32 nor float16, or the sums are not float32[1]";
    bool fits = pe_is_float_or_f16(c->tensor[0]) && y->dtype == PE_F32 && y->bytes == sizeof(float) &&
                (!before || (before->dtype == PE_F32 && before->bytes == sizeof(float)));
    return fits ? PE_OK : PE_ERR_SHAPE;
}

static void run(const pe_call *c)
{
    const pe_elementwise *by_vectors = c->kernels->elementwise;
    if (by_vectors && by_vectors->sum_squares(c))
        return;
    const float *x = c->data[0], *before = c->inputs > 1 && c->tensor[1] ? c->data[1] : NULL;
    const uint16_t *half = c->data[0];
    float *y = c->data[c->inputs], lane[PE_LANES] = {0};
    uint32_t n = pe_tensor_elements(c->tensor[0]), i = 0;
    if (c->tensor[0]->dtype == PE_F16) {
        for (float v[PE_LANES]; i + PE_LANES <= n; i += PE_LANES) {
            for (uint32_t l = 0; l < PE_LANES; l++)
                v[l] = pe_f16_widen(half[i + l]);
            for (uint32_t l = 0; l < PE_LANES; l++)
                lane[l] += v[l] * v[l];
        }
        for (uint32_t l = 0; i + l < n; l++) {
            const float v = pe_f16_widen(half[i + l]);
            lane[l] += v * v;
        }
    } else {
        for (; i + PE_LANES <= n; i += PE_LANES)
            for (uint32_t l = 0; l < PE_LANES; l++)
                lane[l] += x[i + l] * x[i + l];
        for (uint32_t l = 0; i + l < n; l++)
            lane[l] += x[i + l] * x[i + l];
    }
    for (uint32_t width = PE_LANES / 2; width; width /= 2)
        for (uint32_t l = 0; l < width; l++)
            lane[l] += lane[l + width];
    *y = before ? *before + lane[0] : lane[0];
}

const pe_op_def pe_op_def_sum_squares = {
    .kind = PE_OP_SUM_SQUARES,
    .params_bytes = 0,
    .min_inputs = 1,
    .max_inputs = 2,
    .outputs = 1,
    .optional = 1 << 1,
    .name = "sum_squares",
    .check = check,
    .run = run,
};
