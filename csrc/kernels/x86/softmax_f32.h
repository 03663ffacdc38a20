#include "kernels/layers.h"
#include "kernels/x86/f32.h"
#include "ops/exp.h"

/* softmax_f32: the portable code's steps, the exponentials and divisions in vectors. Sums are in ascending order, one by
 * one, as they are defined. */

typedef struct layer {
    size_t x, y; /* in the arena */
    size_t rows, n;
    float beta;
} layer;

static bool takes(const pe_call *c, pe_layer_bytes *bytes)
{
    bytes->packed = sizeof(layer);
    return pe_in_arena(c->tensor[0]);
}

static void pack(const pe_call *c, void *packed)
{
    const pe_tensor *x = c->tensor[0];
    const size_t n = (size_t)x->dims[x->rank - 1];
    *(layer *)packed = (layer){.x = x->offset,
                               .y = c->tensor[1]->offset,
                               .rows = x->bytes / sizeof(float) / n,
                               .n = n,
                               .beta = ((const pe_softmax_params *)c->params)->beta};
}

/* The largest, NaN if one is. */
static float maximum(const float *x, size_t n)
{
    float max = x[0];
    for (size_t i = 1; i < n && !pe_is_nan(max); i++)
        max = pe_float_le(x[i], max) ? max : x[i];
    return max;
}

/* e^x of PE_LANES floats; compilers make vectors of it. */
static void exponentials(float *x)
{
    for (int i = 0; i < PE_LANES; i++)
        x[i] = pe_exp_f32(x[i]);
}

/* x and y may be the same. */
static void row(const layer *l, const float *x, float *y)
{
    const float max = maximum(x, l->n);
    const pe_f32v maxima = pe_f32v_all(max), beta = pe_f32v_all(l->beta);
    float sum = 0;
    for (size_t i = 0; i < l->n; i += PE_LANES) {
        const size_t lanes = l->n - i < PE_LANES ? l->n - i : PE_LANES;
        float e[PE_LANES];
        pe_f32v_store(e, pe_f32v_mul(pe_f32v_sub(pe_f32v_load_first(x + i, lanes), maxima), beta));
        exponentials(e);
        for (size_t k = 0; k < lanes; k++)
            sum += e[k];
        pe_f32v_store_first(y + i, pe_f32v_load(e), lanes);
    }
    const pe_f32v sums = pe_f32v_all(sum);
    for (size_t i = 0; i < l->n; i += PE_LANES) {
        const size_t lanes = l->n - i < PE_LANES ? l->n - i : PE_LANES;
        pe_f32v_store_first(y + i, pe_f32v_div(pe_f32v_load_first(y + i, lanes), sums), lanes);
    }
}

static void run(const void *packed, uint8_t *arena, uint8_t *work)
{
    const layer *l = packed;
    const float *x = (const float *)(arena + l->x);
    float *y = (float *)(arena + l->y);
    (void)work;
    for (size_t i = 0; i < l->rows; i++, x += l->n, y += l->n)
        row(l, x, y);
}

const pe_layer PE_LEVEL(pe_layer_softmax_f32) = {PE_OP_SOFTMAX_F32, PE_LEVEL_NAME(softmax_f32), takes, pack, run};
