/* pyedge: the C API. Freestanding C11: no malloc, no mutable globals, no libc, no libm. The caller owns all memory.
 *
 *     pe_error err;
 *     if (pe_plan_verify(plan, plan_bytes, 0, &err)) ...       once; afterwards the structure is trusted
 *     pe_session s;
 *     pe_session_init(&s, plan, arena, arena_bytes);           arena_bytes >= pe_plan_arena_bytes(plan)
 *     int32_t entry = pe_entry_find(&s, "main");
 *     memcpy(pe_tensor_data(&s, pe_entry_input_tensor(&s, entry, 0)), x, n);
 *     pe_run(&s, entry, NULL);
 *     y = pe_tensor_data(&s, pe_entry_output_tensor(&s, entry, 0));
 */
#ifndef PYEDGE_H
#define PYEDGE_H
#include <stdbool.h>

#include "plan.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PE_ABI_VERSION 1

/* 0 is success; everything else is negative, so that positive results stay free. */
typedef enum pe_status {
    PE_OK = 0,
    PE_ERR_ALIGN = -1,       /* a base address is not aligned: plan 64 (16 suffices to read it), arena 16 */
    PE_ERR_TRUNCATED = -2,   /* fewer bytes than the header says, or than a header needs */
    PE_ERR_MAGIC = -3,       /* not a plan */
    PE_ERR_VERSION = -4,     /* another major version */
    PE_ERR_CRC = -5,         /* bytes changed since the plan was written */
    PE_ERR_SECTION = -6,     /* a section lies outside the file, is misaligned or has a bad size */
    PE_ERR_STRING = -7,      /* a name lies outside the strings or does not end */
    PE_ERR_TENSOR = -8,      /* a tensor record: dtype, kind, dims, offset or bytes */
    PE_ERR_OP = -9,          /* an op record: tensors, counts, params or scratch out of range */
    PE_ERR_UNKNOWN_OP = -10, /* an op kind that this build does not have; err.text is its name */
    PE_ERR_SHAPE = -11,      /* tensors or params of an op that do not fit together */
    PE_ERR_SCRATCH = -12,    /* less scratch than the op needs */
    PE_ERR_ENTRY = -13,      /* an entry record, or no entry of that number or name */
    PE_ERR_BRANCH = -14,     /* a branch that does not go forward inside its entry */
    PE_ERR_ARENA = -15,      /* the arena given is smaller than the plan's */
    PE_ERR_LAYOUT = -16,     /* a layout tag that this build does not know */
    PE_ERR_CUSTOM_OP =
        -17 /* a custom op that this build does not have, or has from another source; err.text is its name */
} pe_status;

typedef struct pe_error {
    pe_status status;
    uint32_t op;      /* number of the op or entry concerned, else PE_NONE */
    uint32_t tensor;  /* number of the tensor concerned, else PE_NONE */
    const char *text; /* what was wrong, static or inside the plan; never NULL */
} pe_error;

enum {
    PE_VERIFY_SKIP_CRC = 1,  /* for fuzzing, and for callers that have just checked a stronger hash */
    PE_VERIFY_ANY_LAYOUT = 2 /* to read a plan for another board, which no session here takes */
};

uint32_t pe_abi_version(void);
const char *pe_status_text(pe_status status); /* short, static, never NULL */

/* Checks every offset, size, shape product, index and enum of a plan; nothing is written. Time is linear in its size.
 * plan must lie on a multiple of 16, in RAM, flash or a mapped file, and must not change afterwards but for its constants:
 * any bits there are safe. plan_bytes may be more than the file has, as in a flash slot. err may be NULL. */
pe_status pe_plan_verify(const void *plan, size_t plan_bytes, unsigned flags, pe_error *err);

uint32_t pe_plan_arena_bytes(const void *plan);
uint32_t pe_crc32(uint32_t crc, const void *data, size_t n); /* IEEE; start with 0 */

/* Constants of a plan in the layouts of one CPU's kernels: for hosts, whose CPU is known only when a plan is loaded. Made
 * once, shared by all sessions on the plan; the constants are read then and no more. Boards do without. */
typedef struct pe_pack {
    const uint8_t *plan;
    const struct pe_kernels *kernels;
    size_t work_bytes; /* behind a session's arena, for each thread */
} pe_pack;

uint32_t pe_cpu_features(void); /* of this CPU: kernels/cpu.h names the bits; 0 where the portable kernels are all */

/* features: pe_cpu_features(), or fewer. pack: pe_pack_bytes() bytes on PE_PLAN_ALIGN. */
size_t pe_pack_bytes(const void *plan, uint32_t features);
pe_status pe_pack_init(pe_pack *pack, const void *plan, uint32_t features);
size_t pe_pack_arena_bytes(const pe_pack *pack); /* the plan's arena, and memory for the kernels behind it */
const char *pe_pack_layer(const pe_pack *pack, uint32_t op); /* what runs op number op; NULL: its ordinary code */

/* Threads of a host, which the caller brings. each() calls call(job, part, thread) once for every part below parts, from as
 * many threads as it likes, thread < count being the number of the one that calls; it returns when all calls have. */
typedef struct pe_threads {
    uint32_t count;
    void *ctx;
    void (*each)(void *ctx, uint32_t parts, void (*call)(void *job, uint32_t part, uint32_t thread), void *job);
} pe_threads;

/* A tensor that lies in the caller's memory instead of the arena, for the next runs; on PE_ARENA_ALIGN, of the tensor's
 * bytes, apart from the arena and from other tensors. Only ops for which pe_pack_binds() is true look for it, as their
 * first input or their output. The caller has seen that no other op touches the tensor, under this number or another. */
typedef struct pe_binding {
    uint32_t tensor;
    void *data; /* of an input: not written to. NULL behind the last */
} pe_binding;
bool pe_pack_binds(const pe_pack *pack, uint32_t op);

typedef struct pe_session {
    const uint8_t *plan; /* verified */
    uint8_t *arena;
    const struct pe_kernels *kernels; /* those of the pack, else the best that need none */
    const pe_pack *pack;              /* or NULL */
    uint8_t *work;                    /* behind the arena; pack->work_bytes for each thread */
    const pe_threads *threads;        /* NULL: none but the caller's */
    const pe_binding *bound;          /* NULL: all tensors are in the arena */
} pe_session;

#define PE_RESET_ENTRY "reset" /* of plans with states: writes their initial values */

/* Binds a verified plan to an arena, PE_ARENA_ALIGN-aligned, and resets its states. A plan without states leaves the arena
 * as it is. */
pe_status pe_session_init(pe_session *s, const void *plan, void *arena, size_t arena_bytes);

/* The same with a pack; arena_bytes >= pe_pack_arena_bytes(pack). Afterwards, between runs, s->threads may be set if the
 * arena has pack->work_bytes more for each thread but the first. The bits are the same for any number of threads. */
pe_status pe_session_init_packed(pe_session *s, const pe_pack *pack, void *arena, size_t arena_bytes);

/* Gives all states their initial values: a new sequence begins. Nothing happens if the plan has none. */
pe_status pe_session_reset(pe_session *s);

/* Numbers and places. Arguments are trusted where the plan was verified; an entry or tensor out of range gives -1 or NULL. */
uint32_t pe_entry_count(const pe_session *s);
int32_t pe_entry_find(const pe_session *s, const char *name); /* number of the entry, or PE_ERR_ENTRY */
const pe_entry *pe_entry_at(const pe_session *s, uint32_t entry);
const pe_tensor *pe_tensor_at(const pe_session *s, uint32_t tensor);
uint32_t pe_entry_input_tensor(const pe_session *s, uint32_t entry, uint32_t i);  /* tensor number, or PE_NONE */
uint32_t pe_entry_output_tensor(const pe_session *s, uint32_t entry, uint32_t i); /* tensor number, or PE_NONE */
void *pe_tensor_data(const pe_session *s, uint32_t tensor);                       /* constants must not be written to */
const char *pe_plan_string(const pe_session *s, uint32_t offset);

/* What to count per op. now() is read before the first op, between ops and after the last; counts[i] += difference, for
 * op number i of the plan. counts has one element per op of the plan. */
typedef struct pe_profile {
    uint64_t (*now)(void *ctx);
    void *ctx;
    uint64_t *counts;
} pe_profile;

/* Executes one entry. profile may be NULL. Fails only for an entry that does not exist. Not re-entrant on one session. */
pe_status pe_run(pe_session *s, uint32_t entry, const pe_profile *profile);

#ifdef __cplusplus
}
#endif
#endif
