/* A nest of loops over strided tensors, innermost first, with neighbouring axes merged where the strides allow it: an
 * addition of equal shapes is one loop, whatever the rank. */
#ifndef PE_LOOPS_H
#define PE_LOOPS_H
#include "ops.h"

typedef struct pe_loops {
    uint32_t rank;                           /* >= 1 after pe_loops_end */
    uint32_t n[PE_MAX_RANK];                 /* trip counts */
    uint32_t a[PE_MAX_RANK], b[PE_MAX_RANK]; /* strides, elements; 0: the same element again */
    uint32_t i[PE_MAX_RANK];                 /* where the walk is, from loop 1 on */
} pe_loops;

/* Adds the next outer loop. */
static inline void pe_loops_add(pe_loops *l, uint32_t n, uint32_t a, uint32_t b)
{
    uint32_t r = l->rank;
    if (n == 1)
        return;
    if (r > 0 && a == l->a[r - 1] * l->n[r - 1] && b == l->b[r - 1] * l->n[r - 1]) {
        l->n[r - 1] *= n;
        return;
    }
    l->n[r] = n;
    l->a[r] = a;
    l->b[r] = b;
    l->i[r] = 0;
    l->rank = r + 1;
}

static inline void pe_loops_end(pe_loops *l)
{
    if (l->rank == 0)
        *l = (pe_loops){.rank = 1, .n = {1}};
}

/* Moves the element offsets a and b to the next run of loop 0; false, with all back at the start, after the last. */
static inline bool pe_loops_next(pe_loops *l, uint32_t *a, uint32_t *b)
{
    for (uint32_t k = 1; k < l->rank; k++) {
        *a += l->a[k];
        *b += l->b[k];
        if (++l->i[k] < l->n[k])
            return true;
        *a -= l->a[k] * l->n[k];
        *b -= l->b[k] * l->n[k];
        l->i[k] = 0;
    }
    return false;
}

/* Length of the k-th axis from the right; 1 beyond the rank, as NumPy broadcasts. */
static inline uint32_t pe_dim_from_right(const pe_tensor *t, uint32_t k)
{
    return k < t->rank ? (uint32_t)t->dims[t->rank - 1 - k] : 1;
}
#endif
