/* A custom operator: a C kernel of your own, compiled into a shared library for Python (pe.register_op) and into the
 * firmware of a board (pyedge flash --with), from one file:
 *
 *     #include "pyedge_custom.h"
 *
 *     typedef struct gain_params { float gain; } gain_params;
 *
 *     static const char *check(const pe_custom_call *c, uint32_t *scratch_bytes)
 *     {
 *         (void)scratch_bytes;
 *         const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
 *         return x->dtype == PE_F32 && y->dtype == PE_F32 && x->bytes == y->bytes ? NULL : "float32 of one size";
 *     }
 *
 *     static void run(const pe_custom_call *c)
 *     {
 *         const gain_params *p = c->params;
 *         const float *x = c->data[0];
 *         float *y = c->data[1];
 *         for (uint32_t i = 0; i < c->tensor[1]->bytes / sizeof *y; i++)
 *             y[i] = p->gain * x[i];
 *     }
 *
 *     PE_CUSTOM_OP(gain, sizeof(gain_params), 1, 1, check, run)
 *
 * For the same bits everywhere: C11 without libc and libm (both builds are -ffreestanding), no variables that keep values
 * between calls. Compilers are told -ffp-contract=off. */
#ifndef PYEDGE_CUSTOM_H
#define PYEDGE_CUSTOM_H
#include "plan.h"

#define PE_CUSTOM_ABI 1   /* of the structs below; goes up when they change */
#define PE_CUSTOM_ANY 255 /* any number of tensors: check looks at inputs and outputs, and at tensors that are absent */

/* What a kernel gets. Tensors are inputs, then outputs. */
typedef struct pe_custom_call {
    const void *params; /* the op's params struct, aligned to 4 */
    uint32_t inputs, outputs;
    const pe_tensor *tensor[PE_MAX_OP_TENSORS]; /* dtype, rank, dims, bytes, scale, zero_point; NULL: absent */
    void
        *data[PE_MAX_OP_TENSORS]; /* elements in C order, aligned to 16; inputs are not written to. NULL during check */
    void *scratch;                /* aligned to 16; what is in it is lost between runs. NULL during check */
    uint32_t scratch_bytes;       /* >= what check asked for */
} pe_custom_call;

typedef struct pe_custom_op {
    uint32_t abi;          /* PE_CUSTOM_ABI */
    uint32_t source;       /* what stands for its source; a plan names the one that it was made with. 0: not said */
    const char *name;      /* at most PE_CUSTOM_NAME - 1 bytes */
    uint16_t params_bytes; /* size of the op's params struct; its fields need no more than 4-byte alignment */
    uint8_t inputs, outputs;
    /* NULL, or what is wrong with dtypes, shapes or params, as a static text; asks for scratch by *scratch_bytes, 0 before.
     * It is called once before the first run, also for plans that somebody has tampered with, and is all that stands
     * between them and run: what it lets through must not make run access anything outside its tensors and scratch,
     * whatever the elements are. */
    const char *(*check)(const pe_custom_call *c, uint32_t *scratch_bytes);
    void (*run)(const pe_custom_call *c);
} pe_custom_op;

#ifndef PE_CUSTOM_SOURCE
#define PE_CUSTOM_SOURCE 0 /* the builds of pyedge set it, from the bytes of the source */
#endif

/* Makes an op of two functions; once for each op, at file scope. The pyedge tools look for this line in the source. */
#define PE_CUSTOM_OP(name_, params_bytes_, inputs_, outputs_, check_, run_)                         \
    extern const pe_custom_op pe_custom_##name_;                                                    \
    const pe_custom_op pe_custom_##name_ = {PE_CUSTOM_ABI, PE_CUSTOM_SOURCE, #name_, params_bytes_, \
                                            inputs_,       outputs_,         check_, run_};

/* The i-th custom op of this build, NULL behind the last. The definition in csrc/ops/custom.c knows those of the header
 * PE_CUSTOM_HEADER, which says `#define PE_CUSTOM_OPS(X) X(gain) X(other)`; it is weak, so that a program can have its own,
 * which must go on giving what it has given once. */
const pe_custom_op *pe_custom_at(uint32_t i);
#endif
