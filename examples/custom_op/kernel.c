/* smooth: exponential smoothing along time, x[N,T,C] -> y, float32. y[0] = x[0], y[t] = y[t-1] + alpha * (x[t] - y[t-1]). */
#include "pyedge_custom.h"

typedef struct smooth_params {
    float alpha; /* 0 .. 1 */
} smooth_params;

static const char *check(const pe_custom_call *c, uint32_t *scratch_bytes)
{
    (void)scratch_bytes; /* none is needed */
    const smooth_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    if (x->dtype != PE_F32 || y->dtype != PE_F32 || x->rank != 3 || y->rank != 3)
        return "smooth: x and y must be float32 [N,T,C]";
    for (int i = 0; i < 3; i++) {
        if (x->dims[i] != y->dims[i])
            return "smooth: x and y must have one shape";
    }
    return p->alpha >= 0 && p->alpha <= 1 ? NULL : "smooth: alpha must be 0 .. 1";
}

static void run(const pe_custom_call *c)
{
    const smooth_params *p = c->params;
    const int32_t *dims = c->tensor[0]->dims;
    uint32_t row = (uint32_t)dims[2], picture = (uint32_t)dims[1] * row;
    for (uint32_t n = 0; n < (uint32_t)dims[0]; n++) {
        const float *x = (const float *)c->data[0] + n * picture;
        float *y = (float *)c->data[1] + n * picture;
        for (uint32_t i = 0; i < picture; i++)
            y[i] = i < row ? x[i] : y[i - row] + p->alpha * (x[i] - y[i - row]);
    }
}

PE_CUSTOM_OP(smooth, sizeof(smooth_params), 1, 1, check, run)
