/* Where operands of layers are that may learn. */
#ifndef PE_PLACE_H
#define PE_PLACE_H
#include "ops/ops.h"

typedef struct pe_place {
    const void *data; /* a constant; NULL: in the arena, or absent */
    size_t offset;
} pe_place;

static inline pe_place pe_place_of(const pe_call *c, uint32_t i)
{
    return i < c->inputs && c->tensor[i] ? (pe_place){c->data[i], c->tensor[i]->offset} : (pe_place){0};
}

static inline const float *pe_place_at(const pe_place *p, const uint8_t *arena)
{
    return p->data ? p->data : (const float *)(arena + p->offset);
}
#endif
