#include "kernels/layers.h"
#include "kernels/x86/level.h"
#include "ops/fixed.h"

/* softmax_s8 with the exponentials of all 256 differences to the maximum from tables. */

typedef struct layer {
    size_t x, y; /* in the arena */
    size_t rows, n;
    int32_t e[256];        /* e^(-difference), Q0.31 */
    uint32_t summand[256]; /* the same rounded to Q12.19, 0 below diff_min */
    int32_t beyond;        /* the first difference below diff_min */
} layer;

static bool takes(const pe_call *c, pe_layer_bytes *bytes)
{
    bytes->packed = sizeof(layer);
    return pe_in_arena(c->tensor[0]);
}

static void pack(const pe_call *c, void *packed)
{
    const pe_softmax_params *p = c->params;
    const pe_tensor *x = c->tensor[0];
    const size_t n = (size_t)x->dims[x->rank - 1];
    layer *l = packed;
    *l = (layer){.x = x->offset, .y = c->tensor[1]->offset, .rows = x->bytes / n, .n = n};
    l->beyond = p->diff_min > -256 ? 1 - p->diff_min : 256;
    for (int32_t d = 0; d < l->beyond; d++) {
        l->e[d] = pe_exp_negative(pe_requantize(-d, p->multiplier, p->shift));
        l->summand[d] = (uint32_t)pe_rdbpot(l->e[d], 12);
    }
}

static void row(const layer *l, const int8_t *x, int8_t *y)
{
    int32_t max = -128;
    uint64_t total = 0;
    for (size_t i = 0; i < l->n; i++)
        max = x[i] > max ? x[i] : max;
    for (size_t i = 0; i < l->n; i++)
        total += l->summand[max - x[i]];
    const uint32_t sum = total > UINT32_MAX ? UINT32_MAX : (uint32_t)total; /* at least 1, from the maximum */
    const int32_t zeros = __builtin_clz(sum), scale = pe_reciprocal((int32_t)((sum << zeros) - (1u << 31)));
    const int32_t shift = 35 - zeros;
    for (size_t i = 0; i < l->n; i++) {
        const int32_t d = max - x[i];
        int32_t v = -128;
        if (d < l->beyond && shift <= 31) /* beyond 31 bits it rounds to 0 */
            v += pe_rdbpot(pe_srdhm(scale, l->e[d]), shift);
        y[i] = (int8_t)pe_clamp_s32(v, -128, 127);
    }
}

static void run(const void *packed, uint8_t *arena, uint8_t *work)
{
    const layer *l = packed;
    const int8_t *x = (const int8_t *)arena + l->x;
    int8_t *y = (int8_t *)arena + l->y;
    (void)work;
    for (size_t i = 0; i < l->rows; i++, x += l->n, y += l->n)
        row(l, x, y);
}

const pe_layer PE_LEVEL(pe_layer_softmax_s8) = {PE_OP_SOFTMAX_S8, PE_LEVEL_NAME(softmax_s8), takes, pack, run};
