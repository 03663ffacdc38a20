/* What gather and scatter share: a nest of loops over runs of `inner` elements, and for each run a tuple of indices that
 * says where it lies in a table. Any index is memory-safe: a negative one counts from the end, then it is clamped, or the
 * run is skipped. */
#ifndef PE_INDEX_H
#define PE_INDEX_H
#include "ops.h"

typedef struct pe_index_walk {
    uint32_t i[PE_MAX_RANK]; /* where the nest is */
    uint32_t table, index;   /* element numbers: of the nest in the table, of the tuple's first index */
} pe_index_walk;

/* Checks the params against the number of elements in the table, of indices, and of the runs together. */
static inline const char *pe_index_fault(const pe_index_params *p, const pe_tensor *table, const pe_tensor *indices,
                                         uint64_t *moved)
{
    if (indices->dtype != PE_S32 && indices->dtype != PE_S64)
        return "indices are not int32 or int64";
    if (p->rank > PE_MAX_RANK || p->components < 1 || p->components > PE_MAX_RANK || p->inner < 1)
        return "loops or components";
    uint64_t end = pe_tensor_elements(table), index_end = pe_tensor_elements(indices), high = 0, index_high = 0;
    *moved = p->inner;
    high += p->inner - 1;
    if (high >= end || *moved > end)
        return "runs outside the table";
    for (uint32_t k = 0; k < p->rank; k++) {
        if (p->n[k] < 1 || p->table_stride[k] < 0 || p->index_stride[k] < 0)
            return "loops or components";
        *moved *= (uint32_t)p->n[k];
        if (*moved > PE_MAX_EXTENT)
            return "loops or components";
        high += (uint64_t)(p->n[k] - 1) * (uint32_t)p->table_stride[k];
        index_high += (uint64_t)(p->n[k] - 1) * (uint32_t)p->index_stride[k];
        if (high >= end)
            return "runs outside the table";
    }
    for (uint32_t k = 0; k < p->components; k++) {
        if (p->size[k] < 1 || p->stride[k] < 0)
            return "loops or components";
        high += (uint64_t)(p->size[k] - 1) * (uint32_t)p->stride[k];
        if (high >= end)
            return "runs outside the table";
    }
    return index_high + p->components - 1 < index_end ? NULL : "a tuple outside the indices";
}

/* Element i of an int32 or int64 tensor. */
static inline int64_t pe_load_index(const void *indices, uint8_t dtype, uint32_t i)
{
    return dtype == PE_S64 ? ((const int64_t *)indices)[i] : ((const int32_t *)indices)[i];
}

/* First element of the table's run that the tuple names; false: a run to be skipped. */
static inline bool pe_index_resolve(const pe_index_params *p, const pe_index_walk *w, const void *indices,
                                    uint8_t dtype, uint32_t *at)
{
    *at = w->table;
    for (uint32_t k = 0; k < p->components; k++) {
        int64_t v = pe_load_index(indices, dtype, w->index + k), size = p->size[k];
        if (v < 0)
            v += size; /* from -2^63 on this cannot overflow */
        if (v < 0 || v >= size) {
            if (p->skip)
                return false;
            v = v < 0 ? 0 : size - 1;
        }
        *at += (uint32_t)v * (uint32_t)p->stride[k];
    }
    return true;
}

/* To the next run; false after the last. */
static inline bool pe_index_next(const pe_index_params *p, pe_index_walk *w)
{
    for (uint32_t k = p->rank; k > 0; k--) {
        w->table += (uint32_t)p->table_stride[k - 1];
        w->index += (uint32_t)p->index_stride[k - 1];
        if (++w->i[k - 1] < (uint32_t)p->n[k - 1])
            return true;
        w->table -= (uint32_t)p->table_stride[k - 1] * w->i[k - 1];
        w->index -= (uint32_t)p->index_stride[k - 1] * w->i[k - 1];
        w->i[k - 1] = 0;
    }
    return false;
}
#endif
