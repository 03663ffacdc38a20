/* Layers: how an instruction set takes over whole cases of an op. Where a micro-kernel (kernels.h) is one tile, which
 * ops/ walks over a layer, a layer kernel walks by itself: it chooses its tiles, reads x where it lies or in a form of its
 * own, and has its constants in a layout of its own, packed once per plan. Hosts only: it needs the pack buffer
 * (pyedge.h, pe_pack). Its bits are those of the op's run function for every input.
 */
#ifndef PE_LAYERS_H
#define PE_LAYERS_H
#include "kernels/cpu.h"
#include "ops/ops.h"

/* Share `part` of `parts` of a layer's outputs. Each has work memory of its own; all are run, in any order or at once. */
typedef void pe_layer_part_fn(const void *packed, uint8_t *arena, uint8_t *work, uint32_t part, uint32_t parts);

/* The same where the first input and the output lie anywhere, on PE_ARENA_ALIGN, apart from each other or as in the arena.
 * Nothing beside them is read or written. */
typedef void pe_layer_at_fn(const void *packed, const uint8_t *x, uint8_t *y, uint8_t *work, uint32_t part,
                            uint32_t parts);

#define PE_MACS_TO_SPLIT 300000 /* some microseconds: several times what it costs to hand work to another thread */

/* What a layer kernel says of a case that it takes. */
typedef struct pe_layer_bytes {
    size_t packed;          /* what pack writes, on PE_PLAN_ALIGN; the layer's shapes and places among it */
    size_t work;            /* what run, or a part, may use for itself */
    pe_layer_part_fn *part; /* NULL: not to be split, or too small for it */
    pe_layer_at_fn *at;     /* NULL: only in the arena */
    void (*canonicalize)(const pe_tensor *y, void *data); /* with at: pe_canonicalize_nans by the layer's vectors */
} pe_layer_bytes;

typedef struct pe_layer {
    uint16_t kind; /* pe_op_kind */
    const char *name;
    /* False: not a case that it takes. c is an op that its check has passed; data of constants is set, no other. */
    bool (*takes)(const pe_call *c, pe_layer_bytes *bytes);
    void (*pack)(const pe_call *c, void *packed);
    /* The places of inputs and outputs in the arena are in packed. work: on PE_ARENA_ALIGN, contents unspecified. */
    void (*run)(const void *packed, uint8_t *arena, uint8_t *work);
} pe_layer;

/* The layer kernels of this build, the best of each case first; the last has no layer. needs: what the CPU must have. */
typedef struct pe_listed_layer {
    uint32_t needs;
    const pe_layer *layer;
} pe_listed_layer;

extern const pe_listed_layer pe_layers[];

/* The one that takes an op of a kind on a CPU with these features, and what it needs; NULL: none. c: as for takes. */
const pe_layer *pe_layer_for(uint16_t kind, uint32_t features, const pe_call *c, pe_layer_bytes *bytes);

/* Share `part` of `parts` of n things. */
static inline int32_t pe_share(int32_t n, uint32_t part, uint32_t parts)
{
    if (parts == 1) /* a division is long for a small layer */
        return n * (int32_t)part;
    return (int32_t)((int64_t)n * part / parts);
}

/* Tensors that the caller or an op writes, at run time. */
static inline bool pe_in_arena(const pe_tensor *t)
{
    return t->kind != PE_TENSOR_CONST;
}
#endif
