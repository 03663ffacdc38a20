/* Between pack.c and run.c: what stands behind a pe_pack. */
#ifndef PE_STEP_H
#define PE_STEP_H
#include "kernels/layers.h"
#include "pyedge.h"

/* An op of the plan that a layer kernel runs; run is NULL where none does. */
typedef struct pe_step {
    const pe_layer *layer;
    void (*run)(const void *packed, uint8_t *arena, uint8_t *work);
    pe_layer_part_fn *part; /* or NULL */
    pe_layer_at_fn *at;     /* or NULL */
    void (*canonicalize)(const pe_tensor *y, void *data);
    const void *packed;
} pe_step;

pe_status pe_session_bind(pe_session *s, const uint8_t *plan, const struct pe_kernels *kernels, const pe_pack *pack,
                          void *arena, size_t arena_bytes);
#endif
