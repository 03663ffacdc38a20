/* The plan verifier and executor under libFuzzer. The CRC is skipped. A plan that passes is run, every entry, then run
 * once more with other constants: bits flip in flash, and no constant may lead out of memory. Plans beyond a budget of
 * work and memory are only verified, so that one input stays fast.
 *
 * The mutator knows the records: it changes one field of one record at a time and then repairs sizes that no longer
 * fit, or else nearly every input would die in the first check. At the end the program says how far its inputs came. */
#define _POSIX_C_SOURCE 200112L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu.h"
#include "ops/ops.h"

#define WORK_BUDGET (1 << 17)  /* of MACs or elements, over all entries */
#define ARENA_BUDGET (1 << 18) /* bytes */

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static struct {
    unsigned long inputs, past_header, verified, executed;
} reached;

static void report(void)
{
    double all = reached.inputs ? (double)reached.inputs / 100 : 1;
    fprintf(stderr, "inputs %lu; past the header %.1f %%, verified %.1f %%, executed %.1f %%\n", reached.inputs,
            (double)reached.past_header / all, (double)reached.verified / all, (double)reached.executed / all);
}

static uint32_t next_random(uint32_t *state) /* xorshift32 */
{
    uint32_t x = *state ? *state : 1;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *state = x;
}

/* A block of exactly that size, so that ASan sees one byte too much. */
static uint8_t *allocate(size_t bytes)
{
    void *p;
    if (posix_memalign(&p, PE_PLAN_ALIGN, bytes ? bytes : 1) != 0)
        abort();
    return p;
}

static const void *section(const uint8_t *plan, pe_section s)
{
    return plan + s.offset;
}

static uint64_t elements(const pe_tensor *t)
{
    return pe_tensor_elements(t);
}

static uint64_t last_of(const pe_tensor *t)
{
    return (uint64_t)t->dims[t->rank - 1];
}

/* MACs of a verified op, or elements touched, from above. */
static uint64_t work_of(const uint8_t *plan, const pe_op *op)
{
    const pe_plan_header *h = (const pe_plan_header *)plan;
    const pe_tensor *tensors = section(plan, h->tensors);
    const uint32_t *index = (const uint32_t *)section(plan, h->index) + op->tensors;
    const void *params = (const uint8_t *)section(plan, h->params) + op->params;
    uint64_t sum = 1;
    for (uint32_t i = 0; i < (uint32_t)op->inputs + op->outputs; i++)
        sum += index[i] == PE_NONE ? 0 : elements(&tensors[index[i]]);
    if (op->outputs == 0)
        return sum;
    const pe_tensor *x = &tensors[index[0]], *y = &tensors[index[op->inputs]];
    switch (op->kind) {
    case PE_OP_CONV2D_S8:
    case PE_OP_CONV2D_F32:
    case PE_OP_LINEAR_S8:
    case PE_OP_LINEAR_F32: {
        const pe_tensor *w = &tensors[index[1]];
        return sum + elements(y) * (elements(w) / (uint64_t)w->dims[0]);
    }
    case PE_OP_DEPTHWISE_S8:
    case PE_OP_DEPTHWISE_F32: {
        const pe_tensor *w = &tensors[index[1]];
        return sum + elements(y) * (uint64_t)w->dims[0] * (uint64_t)w->dims[1];
    }
    case PE_OP_LINEAR_DGRAD_F32:
    case PE_OP_LINEAR_DGRAD_F16:
    case PE_OP_CONV2D_DGRAD_F32:
    case PE_OP_CONV2D_DGRAD_F16:
    case PE_OP_DEPTHWISE_DGRAD_F32:
    case PE_OP_DEPTHWISE_DGRAD_F16: return sum + elements(y) / last_of(y) * elements(&tensors[index[1]]);
    case PE_OP_LINEAR_WGRAD_F32:
    case PE_OP_LINEAR_WGRAD_F16:
    case PE_OP_CONV2D_WGRAD_F32:
    case PE_OP_CONV2D_WGRAD_F16:
    case PE_OP_DEPTHWISE_WGRAD_F32:
    case PE_OP_DEPTHWISE_WGRAD_F16: return sum + elements(x) / last_of(x) * elements(y);
    case PE_OP_MAX_POOL_GRAD:
    case PE_OP_AVG_POOL_GRAD: return sum + elements(x) * (elements(y) / (uint64_t)y->dims[0] / last_of(y));
    case PE_OP_AVG_POOL2D_S8:
    case PE_OP_AVG_POOL2D_F32:
    case PE_OP_MAX_POOL2D_S8:
    case PE_OP_MAX_POOL2D_F32: {
        const pe_pool2d_params *p = params;
        uint64_t rows = (uint64_t)(p->kernel_h < x->dims[1] ? p->kernel_h : x->dims[1]);
        uint64_t cols = (uint64_t)(p->kernel_w < x->dims[2] ? p->kernel_w : x->dims[2]);
        return sum + elements(y) * rows * cols;
    }
    default: return sum;
    }
}

static uint64_t work(const uint8_t *plan)
{
    const pe_plan_header *h = (const pe_plan_header *)plan;
    const pe_entry *entries = section(plan, h->entries);
    uint64_t sum = 0;
    for (uint32_t e = 0; e < h->entries.bytes / sizeof *entries; e++) {
        for (uint32_t i = 0; i < entries[e].op_count && sum <= WORK_BUDGET; i++)
            sum += work_of(plan, (const pe_op *)section(plan, h->ops) + entries[e].first_op + i);
        for (uint32_t i = 0; i < entries[e].output_count && sum <= WORK_BUDGET; i++) {
            uint32_t t = ((const uint32_t *)section(plan, h->index))[entries[e].outputs + i];
            sum += elements((const pe_tensor *)section(plan, h->tensors) + t);
        }
    }
    return sum;
}

static uint64_t no_time(void *ctx)
{
    (void)ctx;
    return 0;
}

/* features: of the layer kernels that run what they take; 0: no pack. */
static void execute(const uint8_t *plan, uint32_t seed, uint32_t features)
{
    const pe_plan_header *h = (const pe_plan_header *)plan;
    pe_pack *pack = NULL;
    if (features) {
        pack = aligned_alloc(PE_PLAN_ALIGN, pe_pack_bytes(plan, features));
        if (pe_pack_init(pack, plan, features) != PE_OK)
            abort();
    }
    size_t bytes = pack ? pe_pack_arena_bytes(pack) : pe_plan_arena_bytes(plan);
    uint8_t *arena = allocate(bytes);
    for (size_t i = 0; i < bytes; i++)
        arena[i] = (uint8_t)(next_random(&seed) >> 11);
    uint64_t *counts = calloc(h->ops.bytes / sizeof(pe_op) + 1, sizeof *counts);
    const pe_profile profile = {no_time, NULL, counts};
    pe_session s;
    if ((pack ? pe_session_init_packed(&s, pack, arena, bytes) : pe_session_init(&s, plan, arena, bytes)) != PE_OK)
        abort();
    for (uint32_t e = 0; e < pe_entry_count(&s); e++) {
        int32_t found = pe_entry_find(&s, pe_plan_string(&s, pe_entry_at(&s, e)->name));
        if (found < 0 || (uint32_t)found > e || !pe_tensor_data(&s, 0) != !pe_tensor_at(&s, 0))
            abort();
        if (pe_run(&s, e, seed & 1 ? &profile : NULL) != PE_OK)
            abort();
    }
    free(counts);
    free(arena);
    free(pack);
}

/* By the ordinary code and by the layer kernels of each level of this CPU. */
static void execute_all(const uint8_t *plan, uint32_t seed)
{
    static const uint32_t levels[] = {~0u, PE_ISA_AVX2};
    const uint32_t features = pe_cpu_features();
    execute(plan, seed, 0);
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (features & levels[i])
            execute(plan, seed, features & levels[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (reached.inputs++ == 0)
        atexit(report);
    uint8_t *plan = allocate(size);
    if (size)
        memcpy(plan, data, size);
    pe_error err;
    pe_status status = pe_plan_verify(plan, size, PE_VERIFY_SKIP_CRC, &err);
    if (status != err.status || !err.text || strlen(err.text) > size + 100)
        abort();
    switch (status) {
    case PE_ERR_ALIGN:
    case PE_ERR_TRUNCATED:
    case PE_ERR_MAGIC:
    case PE_ERR_VERSION:
    case PE_ERR_LAYOUT:
    case PE_ERR_SECTION: break;
    default: reached.past_header++;
    }
    if (status == PE_OK) {
        reached.verified++;
        if (pe_plan_arena_bytes(plan) <= ARENA_BUDGET && work(plan) <= WORK_BUDGET) {
            reached.executed++;
            uint32_t seed = pe_crc32(0, plan, size);
            execute_all(plan, seed);
            pe_section consts = ((const pe_plan_header *)plan)->consts;
            if (consts.bytes) {
                /* Sections may overlap in a hostile file: change the constants only where nothing else lies. */
                const pe_section *s = &((const pe_plan_header *)plan)->tensors;
                int alone = 1;
                for (; s != &((const pe_plan_header *)plan)->consts; s++)
                    alone &= s->bytes == 0 || s->offset + s->bytes <= consts.offset ||
                             s->offset >= consts.offset + consts.bytes;
                for (uint32_t i = 0; alone && i < consts.bytes; i++)
                    plan[consts.offset + i] = (uint8_t)(next_random(&seed) >> 7);
                execute_all(plan, seed);
            }
        }
    }
    free(plan);
    return 0;
}

/* The mutator. */

/* A number that tends to hurt, or the old one a little changed. */
static uint32_t hostile(uint32_t old, uint32_t *random)
{
    static const uint32_t bad[] = {0,          1,          2,       3,          16,         127,
                                   255,        32767,      1 << 16, 0x3FFFFFFF, 0x40000000, INT32_MAX,
                                   0x80000000, 0xFFFFFF80, PE_NONE, 0x7FC00000};
    switch (next_random(random) % 8) {
    case 0: return bad[next_random(random) % (sizeof bad / sizeof bad[0])];
    case 1: return old ^ 1u << next_random(random) % 32;
    case 2: return old * 2;
    case 3: return old / 2;
    case 4: return next_random(random) % 64;
    case 5: return 0u - old;
    default: return old + next_random(random) % 9 - 4;
    }
}

/* A record of a table, or NULL if it is empty or outside. */
static void *pick(uint8_t *plan, size_t size, pe_section s, uint32_t record, uint32_t *random)
{
    if (s.bytes < record || s.offset > size || s.bytes > size - s.offset || s.offset % 4 != 0)
        return NULL;
    return plan + s.offset + next_random(random) % (s.bytes / record) * record;
}

static void change_word(void *record, uint32_t bytes, uint32_t *random)
{
    uint32_t at = next_random(random) % (bytes / 4) * 4, value;
    memcpy(&value, (uint8_t *)record + at, 4);
    value = hostile(value, random);
    memcpy((uint8_t *)record + at, &value, 4);
}

/* Makes dims, bytes and offsets of each tensor agree again where they can, within a small arena. */
static void repair_tensors(uint8_t *plan, size_t size, uint32_t *random)
{
    pe_plan_header *h = (pe_plan_header *)plan;
    pe_tensor *t = pick(plan, size, h->tensors, sizeof *t, random);
    if (!t)
        return;
    t = (pe_tensor *)(plan + h->tensors.offset);
    uint32_t arena = 0, states = 0, count = h->tensors.bytes / sizeof *t; /* the table may lie on the header */
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bytes = 1u << pe_dtype_shift(t[i].dtype);
        for (uint32_t k = 0; k < PE_MAX_RANK && bytes <= ARENA_BUDGET; k++) {
            if (t[i].dims[k] < 1 || k >= t[i].rank)
                t[i].dims[k] = 1;
            bytes *= (uint32_t)t[i].dims[k];
        }
        if (bytes > ARENA_BUDGET)
            continue;
        t[i].bytes = (uint32_t)bytes;
        t[i].offset &= ~15u;
        if (t[i].kind == PE_TENSOR_STATE && t[i].offset < ARENA_BUDGET / 4 && t[i].offset + bytes > states)
            states = t[i].offset + (uint32_t)bytes;
    }
    states = (states + 15) & ~15u;
    for (uint32_t i = 0; i < count; i++) {
        if (t[i].kind != PE_TENSOR_ARENA || t[i].offset >= ARENA_BUDGET / 2)
            continue;
        if (t[i].offset < states)
            t[i].offset += states;
        if (t[i].offset + (uint64_t)t[i].bytes > arena && t[i].bytes <= ARENA_BUDGET)
            arena = t[i].offset + t[i].bytes;
    }
    h->state_bytes = states;
    h->arena_bytes = arena > states ? arena : states;
    h->scratch_bytes = 0;
}

/* Gives every op what it may need after its shapes have changed: scratch of its own behind all tensors. */
static void repair_scratch(uint8_t *plan, size_t size, uint32_t *random)
{
    pe_plan_header *h = (pe_plan_header *)plan;
    pe_op *op = pick(plan, size, h->ops, sizeof *op, random);
    if (!op || h->arena_bytes > ARENA_BUDGET / 2)
        return;
    op = (pe_op *)(plan + h->ops.offset);
    uint32_t base = (h->arena_bytes + 15) & ~15u, most = 16384, count = h->ops.bytes / sizeof *op;
    for (uint32_t i = 0; i < count; i++) {
        if (op[i].scratch_bytes == 0)
            continue;
        op[i].scratch_offset = base;
        op[i].scratch_bytes = most;
        h->arena_bytes = base + most;
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    uint32_t random = seed * 2654435761u + 1;
    if (size < sizeof(pe_plan_header) || next_random(&random) % 16 == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    uint8_t *plan = allocate(size); /* aligned, for the structs */
    memcpy(plan, data, size);
    pe_plan_header *h = (pe_plan_header *)plan;
    for (uint32_t n = next_random(&random) % 4 ? 1 : 3; n > 0; n--) {
        void *record = NULL;
        uint32_t bytes = 4;
        switch (next_random(&random) % 16) {
        case 0:
            record = plan;
            bytes = sizeof *h;
            break;
        case 1:
        case 2:
        case 3:
        case 4: record = pick(plan, size, h->tensors, bytes = sizeof(pe_tensor), &random); break;
        case 5:
        case 6:
        case 7: record = pick(plan, size, h->ops, bytes = sizeof(pe_op), &random); break;
        case 8: record = pick(plan, size, h->entries, bytes = sizeof(pe_entry), &random); break;
        case 9:
        case 10: record = pick(plan, size, h->index, bytes, &random); break;
        case 11: record = pick(plan, size, h->consts, bytes, &random); break;
        default: record = pick(plan, size, h->params, bytes, &random);
        }
        if (record)
            change_word(record, bytes, &random);
    }
    if (next_random(&random) % 4) {
        repair_tensors(plan, size, &random);
        repair_scratch(plan, size, &random);
    }
    memcpy(data, plan, size);
    free(plan);
    return size;
}
