#include "kernels/fma.h"
#include "kernels/kernels.h"
#include "kernels/nan.h"
#include "ops/ops.h"
#include "runtime/step.h"

/* The executor. The plan was verified, so its numbers are used as they are; only what a caller passes in is checked. */

#define PARTS_PER_THREAD 4 /* so that a thread that comes late or is interrupted leaves its share to the others */

static const pe_plan_header *header(const uint8_t *plan)
{
    return (const pe_plan_header *)plan;
}

static const uint32_t *index_of(const pe_session *s, uint32_t first)
{
    return (const uint32_t *)(s->plan + header(s->plan)->index.offset) + first;
}

uint32_t pe_abi_version(void)
{
    return PE_ABI_VERSION;
}

const char *pe_status_text(pe_status status)
{
    switch (status) {
    case PE_OK: return "ok";
    case PE_ERR_ALIGN: return "misaligned address";
    case PE_ERR_TRUNCATED: return "truncated";
    case PE_ERR_MAGIC: return "not a plan";
    case PE_ERR_VERSION: return "unknown version";
    case PE_ERR_CRC: return "wrong CRC";
    case PE_ERR_SECTION: return "bad section";
    case PE_ERR_STRING: return "bad string";
    case PE_ERR_TENSOR: return "bad tensor";
    case PE_ERR_OP: return "bad op";
    case PE_ERR_UNKNOWN_OP: return "unknown op";
    case PE_ERR_SHAPE: return "shapes that do not fit";
    case PE_ERR_SCRATCH: return "bad scratch";
    case PE_ERR_ENTRY: return "bad entry";
    case PE_ERR_BRANCH: return "bad branch";
    case PE_ERR_ARENA: return "arena too small";
    case PE_ERR_LAYOUT: return "unknown layout";
    case PE_ERR_CUSTOM_OP: return "unknown custom op";
    }
    return "unknown status";
}

uint32_t pe_plan_arena_bytes(const void *plan)
{
    return header(plan)->arena_bytes;
}

pe_status pe_session_bind(pe_session *s, const uint8_t *plan, const pe_kernels *kernels, const pe_pack *pack,
                          void *arena, size_t arena_bytes)
{
    const size_t own = pe_plan_arena_bytes(plan);
    if (!pe_kernels_take(header(plan)->layout))
        return PE_ERR_LAYOUT;
    if ((uintptr_t)arena % PE_ARENA_ALIGN != 0)
        return PE_ERR_ALIGN;
    if (arena_bytes < own)
        return PE_ERR_ARENA;
    *s = (pe_session){.plan = plan, .arena = arena, .kernels = kernels, .pack = pack};
    if (pack)
        s->work = s->arena + (own + PE_PLAN_ALIGN - 1) / PE_PLAN_ALIGN * PE_PLAN_ALIGN;
    return pe_session_reset(s);
}

pe_status pe_session_reset(pe_session *s)
{
    if (header(s->plan)->state_bytes == 0)
        return PE_OK;
    return pe_run(s, (uint32_t)pe_entry_find(s, PE_RESET_ENTRY), NULL); /* the verifier has seen it */
}

pe_status pe_session_init(pe_session *s, const void *plan, void *arena, size_t arena_bytes)
{
    return pe_session_bind(s, plan, pe_kernels_best(pe_cpu_features()), NULL, arena, arena_bytes);
}

uint32_t pe_entry_count(const pe_session *s)
{
    return header(s->plan)->entries.bytes / sizeof(pe_entry);
}

const char *pe_plan_string(const pe_session *s, uint32_t offset)
{
    const pe_plan_header *h = header(s->plan);
    return offset < h->strings.bytes ? (const char *)s->plan + h->strings.offset + offset : "";
}

static bool same_string(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

int32_t pe_entry_find(const pe_session *s, const char *name)
{
    for (uint32_t i = 0; i < pe_entry_count(s); i++) {
        if (same_string(pe_plan_string(s, pe_entry_at(s, i)->name), name))
            return (int32_t)i;
    }
    return PE_ERR_ENTRY;
}

const pe_entry *pe_entry_at(const pe_session *s, uint32_t entry)
{
    const pe_plan_header *h = header(s->plan);
    return entry < pe_entry_count(s) ? (const pe_entry *)(s->plan + h->entries.offset) + entry : NULL;
}

const pe_tensor *pe_tensor_at(const pe_session *s, uint32_t tensor)
{
    const pe_plan_header *h = header(s->plan);
    return tensor < h->tensors.bytes / sizeof(pe_tensor) ? (const pe_tensor *)(s->plan + h->tensors.offset) + tensor
                                                         : NULL;
}

uint32_t pe_entry_input_tensor(const pe_session *s, uint32_t entry, uint32_t i)
{
    const pe_entry *e = pe_entry_at(s, entry);
    return e && i < e->input_count ? *index_of(s, e->inputs + i) : PE_NONE;
}

uint32_t pe_entry_output_tensor(const pe_session *s, uint32_t entry, uint32_t i)
{
    const pe_entry *e = pe_entry_at(s, entry);
    return e && i < e->output_count ? *index_of(s, e->outputs + i) : PE_NONE;
}

void *pe_tensor_data(const pe_session *s, uint32_t tensor)
{
    const pe_tensor *t = pe_tensor_at(s, tensor);
    if (!t)
        return NULL;
    if (t->kind != PE_TENSOR_CONST)
        return s->arena + t->offset;
    return (uint8_t *)(uintptr_t)(s->plan + header(s->plan)->consts.offset + t->offset);
}

/* Where a tensor is bound to; NULL: it is in the arena. */
static void *bound_to(const pe_session *s, uint32_t tensor)
{
    for (const pe_binding *b = s->bound; b && b->data; b++) {
        if (b->tensor == tensor)
            return b->data;
    }
    return NULL;
}

static void *place_of(const pe_session *s, uint32_t tensor)
{
    void *bound = bound_to(s, tensor);
    return bound ? bound : pe_tensor_data(s, tensor);
}

static void resolve(const pe_session *s, const pe_op *op, pe_call *c)
{
    const uint32_t *tensors = index_of(s, op->tensors);
    c->kernels = s->kernels;
    c->params = s->plan + header(s->plan)->params.offset + op->params;
    c->inputs = op->inputs;
    c->outputs = op->outputs;
    for (uint32_t i = 0; i < (uint32_t)op->inputs + op->outputs; i++) {
        c->tensor[i] = pe_tensor_at(s, tensors[i]); /* NULL for PE_NONE */
        c->data[i] = pe_tensor_data(s, tensors[i]);
    }
    c->scratch = s->arena + op->scratch_offset;
    c->scratch_bytes = op->scratch_bytes;
}

/* In integers, so that no float64 code comes into a firmware that has no use for it. */
static void canonicalize_f64(uint64_t *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if ((y[i] & INT64_MAX) > 0x7FF0000000000000)
            y[i] = 0x7FF8000000000000;
    }
}

void pe_canonicalize_nans(const pe_tensor *t, void *y)
{
    const uint32_t n = pe_tensor_elements(t);
    switch (t->dtype) {
    case PE_F32: pe_canonicalize_f32(y, n); break;
    case PE_F16: pe_canonicalize_f16(y, n); break;
    case PE_BF16: pe_canonicalize_16(y, n, 0x7F80, 0x7FC0); break;
    case PE_F64: canonicalize_f64(y, n); break;
    default: break;
    }
}

static void canonicalize_outputs(const pe_session *s, const pe_entry *e)
{
    for (uint32_t i = 0; i < e->output_count; i++) {
        const uint32_t number = *index_of(s, e->outputs + i);
        const pe_tensor *t = pe_tensor_at(s, number);
        if (t->kind != PE_TENSOR_CONST && !bound_to(s, number))
            pe_canonicalize_nans(t, pe_tensor_data(s, number));
    }
}

typedef struct parts {
    const pe_session *s;
    const pe_step *step;
    const uint8_t *x; /* of step->at */
    uint8_t *y;
    uint32_t parts;
} parts;

static void run_part(void *job, uint32_t part, uint32_t thread)
{
    const parts *p = job;
    uint8_t *work = p->s->work + thread * p->s->pack->work_bytes;
    if (p->y)
        p->step->at(p->step->packed, p->x, p->y, work, part, p->parts);
    else
        p->step->part(p->step->packed, p->s->arena, work, part, p->parts);
}

static void share(parts *p)
{
    const pe_threads *threads = p->s->threads;
    p->parts = PARTS_PER_THREAD * threads->count;
    threads->each(threads->ctx, p->parts, run_part, p);
}

/* A layer whose input or output may be bound. */
static void run_bound(const pe_session *s, const pe_op *op, const pe_step *step)
{
    const uint32_t *tensors = index_of(s, op->tensors), y = tensors[op->inputs];
    parts p = {s, step, place_of(s, tensors[0]), place_of(s, y), 1};
    if (s->threads && step->part)
        share(&p);
    else
        run_part(&p, 0, 0);
    if (bound_to(s, y)) /* it leaves from where it is */
        step->canonicalize(pe_tensor_at(s, y), p.y);
}

static void run_layer(const pe_session *s, const pe_op *op, const pe_step *step)
{
    if (s->bound && step->at) {
        run_bound(s, op, step);
    } else if (s->threads && step->part) {
        parts p = {.s = s, .step = step};
        share(&p);
    } else {
        step->run(step->packed, s->arena, s->work);
    }
}

pe_status pe_run(pe_session *s, uint32_t entry, const pe_profile *profile)
{
    const pe_entry *e = pe_entry_at(s, entry);
    if (!e)
        return PE_ERR_ENTRY;
    const pe_op *ops = (const pe_op *)(s->plan + header(s->plan)->ops.offset);
    const pe_step *steps = s->pack ? (const pe_step *)(s->pack + 1) : NULL;
    uint32_t end = e->first_op + e->op_count;
    uint64_t last = profile ? profile->now(profile->ctx) : 0;
    /* Targets of branches are greater than the op's own number, so this ends. */
    for (uint32_t i = e->first_op, next; i < end; i = next) {
        next = i + 1;
        if (steps && steps[i].run) {
            run_layer(s, &ops[i], &steps[i]);
        } else {
            pe_call c;
            resolve(s, &ops[i], &c);
            if (ops[i].kind == PE_OP_BRANCH) {
                const pe_branch_params *p = c.params;
                if (c.inputs == 0 || (*(const uint8_t *)c.data[0] != 0) == (p->when != 0))
                    next = p->target;
            } else {
                pe_op_find(ops[i].kind)->run(&c);
            }
        }
        if (profile) {
            uint64_t now = profile->now(profile->ctx);
            profile->counts[i] += now - last;
            last = now;
        }
    }
    canonicalize_outputs(s, e);
    return PE_OK;
}
