/* What an op family gives to the runtime. The runtime has resolved tensors and checked their records; the family checks
 * that they fit together, says how much scratch it needs, and runs. */
#ifndef PE_OPS_H
#define PE_OPS_H
#include <stdbool.h>

#include "pyedge.h"

typedef struct pe_call {
    const struct pe_kernels *kernels;           /* kernels/kernels.h: the micro-kernels chosen for this CPU */
    const void *params;                         /* the kind's params struct, of the right size, 4-byte aligned */
    uint32_t params_bytes;                      /* what the plan gives; unset when it runs */
    uint8_t inputs, outputs;                    /* within the limits of the pe_op_def */
    const pe_tensor *tensor[PE_MAX_OP_TENSORS]; /* inputs, then outputs; NULL: absent optional input */
    void *data[PE_MAX_OP_TENSORS];              /* same order; unset during check */
    void *scratch;                              /* unset during check */
    uint32_t scratch_bytes;                     /* what the plan gives; >= what check asked for */
} pe_call;

typedef struct pe_op_def {
    uint16_t kind;
    uint16_t params_bytes;
    uint8_t min_inputs, max_inputs, outputs;
    uint8_t optional; /* bit i: input i may be absent (PE_NONE) */
    uint8_t packed;   /* bit i: input i may have a layout of its own (pe_layout) */
    bool open;        /* custom: params_bytes or more, and any number of outputs; its check decides */
    const char *name; /* kind's name in lower case without PE_OP_: "conv2d_s8" */
    /* Checks dtypes, ranks, shapes and params; sets *scratch_bytes; on failure sets *text and returns a negative status. */
    pe_status (*check)(const pe_call *c, uint32_t *scratch_bytes, const char **text);
    void (*run)(const pe_call *c);
} pe_op_def;

/* The ops of this build: row kind - 1, NULL if trimmed away; csrc/ops/table.c makes it from ops_list.h. */
extern const pe_op_def *const pe_op_table[];
extern const uint32_t pe_op_table_size;
const pe_op_def *pe_op_find(uint16_t kind); /* NULL: not in this build */

/* What every op must obey, then its family's check. c holds params and their size, inputs, outputs and tensor records. For
 * the verifier and the bindings. */
pe_status pe_op_check(const pe_op_def *def, const pe_call *c, uint32_t *scratch_bytes, const char **text);

/* A tensor record by itself: dtype, rank, dims and bytes agree. NULL, or what is wrong. */
const char *pe_tensor_fault(const pe_tensor *t);

/* Makes the NaNs of a tensor that leaves, y, those that docs/arithmetic.md names; runtime/run.c. */
void pe_canonicalize_nans(const pe_tensor *t, void *y);

/* log2 of the bytes of an element; of a dtype that is known. */
static inline uint32_t pe_dtype_shift(uint8_t dtype)
{
    switch (dtype) {
    case PE_S8:
    case PE_U8:
    case PE_BOOL: return 0;
    case PE_S16:
    case PE_U16:
    case PE_F16:
    case PE_BF16: return 1;
    case PE_S64:
    case PE_U64:
    case PE_F64: return 3;
    default: return 2;
    }
}

/* The number of elements of a checked tensor record. */
static inline uint32_t pe_tensor_elements(const pe_tensor *t)
{
    return t->bytes >> pe_dtype_shift(t->dtype);
}
#endif
