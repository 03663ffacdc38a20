/* What the two forms of cumsum share. */
#ifndef PE_CUMSUM_H
#define PE_CUMSUM_H
#include "axis.h"
#include "index.h"

static inline const char *pe_cumsum_fault(const pe_call *c)
{
    const pe_tensor *x = c->tensor[0], *axis = c->tensor[1], *y = c->tensor[2];
    if (x->dtype != y->dtype || x->rank != y->rank || x->rank == 0)
        return "cumsum: y is not as x";
    for (uint32_t i = 0; i < x->rank; i++) {
        if (x->dims[i] != y->dims[i])
            return "cumsum: y is not as x";
    }
    return (axis->dtype == PE_S32 || axis->dtype == PE_S64) && pe_tensor_elements(axis) == 1
               ? NULL
               : "cumsum: the axis is not one int32 or int64";
}

/* x around the axis: a negative one counts from the end, then it is clamped. */
static inline pe_axis pe_cumsum_axis(const pe_call *c)
{
    int64_t axis = pe_load_index(c->data[1], c->tensor[1]->dtype, 0), rank = c->tensor[0]->rank;
    axis += axis < 0 ? rank : 0;
    axis = axis < 0 ? 0 : axis >= rank ? rank - 1 : axis;
    return pe_axis_of(c->tensor[0], (uint32_t)axis);
}
#endif
