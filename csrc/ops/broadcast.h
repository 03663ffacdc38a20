/* NumPy broadcasting of two or three operands to the shape of the result. */
#ifndef PE_BROADCAST_H
#define PE_BROADCAST_H
#include "ops.h"

/* Whether the first n operands broadcast to the shape of y, the tensor after them. */
static inline bool pe_broadcasts(const pe_call *c, uint32_t n)
{
    const pe_tensor *y = c->tensor[n];
    for (uint32_t k = 1; k <= PE_MAX_RANK; k++) {
        int32_t longest = 1;
        for (uint32_t i = 0; i < n; i++) {
            const pe_tensor *t = c->tensor[i];
            int32_t d = k <= t->rank ? t->dims[t->rank - k] : 1;
            if (d != 1 && longest != 1 && d != longest)
                return false;
            longest = d != 1 ? d : longest;
        }
        if (longest != (k <= y->rank ? y->dims[y->rank - k] : 1))
            return false;
    }
    return true;
}

/* Element offsets of up to three operands while y's elements pass in order. */
typedef struct pe_walk {
    uint32_t rank;
    uint32_t n[PE_MAX_RANK], i[PE_MAX_RANK]; /* innermost first */
    uint32_t stride[3][PE_MAX_RANK];         /* 0 where an operand is repeated */
    uint32_t at[3];
} pe_walk;

static inline pe_walk pe_walk_start(const pe_call *c, uint32_t operands)
{
    const pe_tensor *y = c->tensor[operands];
    pe_walk w = {.rank = y->rank};
    for (uint32_t o = 0; o < operands; o++) {
        const pe_tensor *t = c->tensor[o];
        uint32_t stride = 1;
        for (uint32_t k = 0; k < y->rank; k++) {
            uint32_t d = k < t->rank ? (uint32_t)t->dims[t->rank - 1 - k] : 1;
            w.stride[o][k] = d == 1 ? 0 : stride;
            stride *= d;
        }
    }
    for (uint32_t k = 0; k < y->rank; k++)
        w.n[k] = (uint32_t)y->dims[y->rank - 1 - k];
    return w;
}

static inline void pe_walk_next(pe_walk *w, uint32_t operands)
{
    for (uint32_t k = 0; k < w->rank; k++) {
        bool more = ++w->i[k] < w->n[k];
        for (uint32_t o = 0; o < operands; o++)
            w->at[o] += more ? w->stride[o][k] : 0 - w->stride[o][k] * (w->n[k] - 1);
        if (more)
            return;
        w->i[k] = 0;
    }
}
#endif
