/* What the updates of weights (update.c) and kernels that take them share. */
#ifndef PE_UPDATE_H
#define PE_UPDATE_H
#include "ops/f16.h"
#include "ops/math_f32.h"

enum { W, G, LR, FACTOR, STEP, M, V };

typedef struct pe_update {
    void *w;       /* all of them; the first gradient's is at params' start */
    const void *g; /* [n] */
    float *m, *v;  /* [n], or NULL */
    uint32_t n;
    bool w_is_f16, g_is_f16; /* else float */
    float lr, factor;
    float step_size, root; /* adam: lr and the root of v with their bias corrected */
} pe_update;

/* Where a result does not lie on what it follows, it starts as a copy of it. */
static inline void *pe_follow(const pe_call *c, uint32_t from, uint32_t to)
{
    if (c->data[from] != c->data[to])
        __builtin_memmove(c->data[to], c->data[from], c->tensor[to]->bytes);
    return c->data[to];
}

static inline pe_update pe_update_of(const pe_call *c)
{
    const pe_update_params *p = c->params;
    pe_update u = {
        .w = pe_follow(c, W, c->inputs),
        .g = c->data[G],
        .m = c->inputs > M ? pe_follow(c, M, c->inputs + 1u) : NULL,
        .v = c->inputs > V ? pe_follow(c, V, c->inputs + 2u) : NULL,
        .n = pe_tensor_elements(c->tensor[G]),
        .w_is_f16 = c->tensor[W]->dtype == PE_F16,
        .g_is_f16 = c->tensor[G]->dtype == PE_F16,
        .lr = *(const float *)c->data[LR],
        .factor = *(const float *)c->data[FACTOR],
    };
    if (u.v) { /* Kingma and Ba 2015; 1 - beta^t as -expm1(t log beta), which loses no digits */
        const float t = *(const float *)c->data[STEP];
        u.step_size = u.lr / -pe_expm1_f32(t * p->log_m);
        u.root = pe_sqrt_f32(-pe_expm1_f32(t * p->log_v));
    }
    return u;
}
#endif
