/* What the matrix products share: a[.., M, K] b[.., K, N] -> y[.., M, N], the axes before the last two broadcast. */
#ifndef PE_MATMUL_H
#define PE_MATMUL_H
#include "loops.h"

/* NULL, or what does not fit together. transpose_a: a is [.., K, M]; transpose_b: b is [.., N, K]. */
static inline const char *pe_matmul_fault(const pe_tensor *a, const pe_tensor *b, const pe_tensor *y, bool transpose_a,
                                          bool transpose_b)
{
    if (a->rank < 2 || b->rank < 2 || y->rank != (a->rank > b->rank ? a->rank : b->rank) ||
        pe_dim_from_right(a, transpose_a ? 0 : 1) != pe_dim_from_right(y, 1) ||
        pe_dim_from_right(b, transpose_b ? 1 : 0) != pe_dim_from_right(y, 0) ||
        pe_dim_from_right(a, transpose_a ? 1 : 0) != pe_dim_from_right(b, transpose_b ? 0 : 1))
        return "matmul: a [M, K], b [K, N] and y [M, N] do not fit together";
    for (uint32_t axis = 2; axis < y->rank; axis++) {
        const uint32_t na = pe_dim_from_right(a, axis), nb = pe_dim_from_right(b, axis);
        const uint32_t n = pe_dim_from_right(y, axis);
        if ((na != n && na != 1) || (nb != n && nb != 1) || (na != n && nb != n))
            return "matmul: batch axes that do not broadcast to the output's";
    }
    return NULL;
}

/* The loops over the matrices of y; loop strides in elements of a and b, whose matrices have a_size and b_size. */
static inline pe_loops pe_matmul_batches(const pe_tensor *a, const pe_tensor *b, const pe_tensor *y, uint32_t a_size,
                                         uint32_t b_size)
{
    pe_loops l = {0};
    for (uint32_t axis = 2; axis < y->rank; axis++) {
        const uint32_t na = pe_dim_from_right(a, axis), nb = pe_dim_from_right(b, axis);
        pe_loops_add(&l, pe_dim_from_right(y, axis), na == 1 ? 0 : a_size, nb == 1 ? 0 : b_size);
        a_size *= na;
        b_size *= nb;
    }
    pe_loops_end(&l);
    return l;
}
#endif
