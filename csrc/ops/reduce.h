/* What mean and the other reductions share: shapes and loops over the axes of a bit mask. y has x's shape with those axes
 * 1 or left out; only the order of elements counts. */
#ifndef PE_REDUCE_H
#define PE_REDUCE_H
#include "loops.h"

/* NULL, or what is wrong with the shapes. */
static inline const char *pe_reduce_fault(const pe_tensor *x, const pe_tensor *y, uint32_t axes)
{
    if (axes >> x->rank != 0)
        return "an axis that x does not have";
    uint32_t k = 0;
    bool keep = y->rank == x->rank;
    for (uint32_t i = 0; i < x->rank; i++) {
        bool reduced = axes >> i & 1;
        if (reduced && !keep)
            continue;
        if (k >= y->rank || y->dims[k++] != (reduced ? 1 : x->dims[i]))
            return "y is not x without the reduced axes";
    }
    return k == y->rank ? NULL : "y is not x without the reduced axes";
}

/* Loops over y's elements and, for each, over the count elements of x that are reduced; both in ascending order, strides
 * in elements of x. */
static inline void pe_reduce_loops(const pe_tensor *x, uint32_t axes, pe_loops *kept, pe_loops *reduced,
                                   uint32_t *count)
{
    uint32_t stride = 1;
    *kept = *reduced = (pe_loops){0};
    *count = 1;
    for (uint32_t k = 0; k < x->rank; k++) {
        uint32_t n = pe_dim_from_right(x, k);
        if (axes >> (x->rank - 1 - k) & 1) {
            pe_loops_add(reduced, n, stride, 0);
            *count *= n;
        } else {
            pe_loops_add(kept, n, stride, 0);
        }
        stride *= n;
    }
    pe_loops_end(kept);
    pe_loops_end(reduced);
}
#endif
