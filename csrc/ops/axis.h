/* A tensor seen as [outer][n][inner] around one axis. */
#ifndef PE_AXIS_H
#define PE_AXIS_H
#include "ops.h"

typedef struct pe_axis {
    uint32_t outer, n, inner;
} pe_axis;

/* axis < rank of t. */
static inline pe_axis pe_axis_of(const pe_tensor *t, uint32_t axis)
{
    pe_axis a = {1, (uint32_t)t->dims[axis], 1};
    for (uint32_t i = 0; i < axis; i++)
        a.outer *= (uint32_t)t->dims[i];
    for (uint32_t i = axis + 1; i < t->rank; i++)
        a.inner *= (uint32_t)t->dims[i];
    return a;
}

/* Whether y has x's shape but for n elements along the axis; with n = 1 the axis may be left out. */
static inline bool pe_axis_fits(const pe_tensor *x, const pe_tensor *y, uint32_t axis, uint32_t n)
{
    uint32_t k = 0;
    bool keep = x->rank == y->rank;
    if (axis >= x->rank || !(keep || (n == 1 && y->rank + 1 == x->rank)))
        return false;
    for (uint32_t i = 0; i < x->rank; i++) {
        if (i == axis && !keep)
            continue;
        if ((uint32_t)y->dims[k++] != (i == axis ? n : (uint32_t)x->dims[i]))
            return false;
    }
    return true;
}
#endif
