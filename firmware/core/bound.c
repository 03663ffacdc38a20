#include "bound.h"

#include "mem.h"
#include "reservoir.h"
#include "states.h"

enum { COUNTS_ALIGN = 8 };
enum { LINKED = STORE_SLOTS }; /* the "slot" of the plan that was linked with the firmware */

static uint32_t align_up(uint32_t n, uint32_t alignment)
{
    return (n + alignment - 1) & ~(alignment - 1);
}

const pe_plan_header *plan_header(const server *s)
{
    return (const pe_plan_header *)(const void *)s->session.plan;
}

uint32_t plan_ops(const server *s)
{
    return plan_header(s)->ops.bytes / (uint32_t)sizeof(pe_op);
}

void release_plan(server *s)
{
    s->session.plan = NULL;
    s->slot = STORE_NONE;
    s->counts = NULL;
    s->counted = s->last.valid = false;
    s->kept = NULL;
}

bool is_repeat(const server *s, const request *q)
{
    return s->last.valid && s->last.id == q->id;
}

void end_run(server *s, const request *q, uint64_t count, uint32_t crc)
{
    s->last.valid = true;
    s->last.id = q->id;
    s->last.count = count;
    s->last.crc = crc;
}

uint32_t outputs_crc(const server *s, uint32_t entry)
{
    uint32_t number, crc = 0;
    for (uint32_t i = 0; (number = pe_entry_output_tensor(&s->session, entry, i)) != PE_NONE; i++)
        crc = pe_crc32(crc, pe_tensor_data(&s->session, number), pe_tensor_at(&s->session, number)->bytes);
    return crc;
}

void put_run(const server *s, cbor_writer *w)
{
    cbor_map(w, 3);
    put_uint(w, "id", s->last.id);
    put_uint(w, "count", s->last.count);
    put_uint(w, "crc", s->last.crc);
}

bool bind_plan(server *s, const uint8_t *plan, uint32_t bytes, int slot, fault *f)
{
    release_plan(s);
    if (pe_plan_verify(plan, bytes, slot == LINKED ? 0 : PE_VERIFY_SKIP_CRC /* its hash is good */, &f->err)) {
        fail(f, RC_CORRUPT, f->err.text);
        return false;
    }
    const pe_plan_header *h = (const pe_plan_header *)(const void *)plan;
    uint64_t arena = slot == STORE_NONE ? align_up(bytes, PE_ARENA_ALIGN) : 0;
    uint64_t counts = (arena + h->arena_bytes + COUNTS_ALIGN - 1) / COUNTS_ALIGN * COUNTS_ALIGN;
    if (arena + h->arena_bytes > s->port->pool_bytes) {
        fail(f, RC_MEMORY, "the arena does not fit into the pool");
        return false;
    }
    uint8_t *pool = s->port->pool;
    memset(pool + arena, 0, h->arena_bytes); /* what a run without inputs gives is at least always the same */
    if (pe_session_init(&s->session, plan, pool + arena, h->arena_bytes)) {
        release_plan(s);
        fail(f, RC_UNKNOWN, "session");
        return false;
    }
    s->slot = (int8_t)slot;
    s->plan_bytes = bytes;
    restore_states(s);
    if (counts + (uint64_t)plan_ops(s) * sizeof(uint64_t) <= s->port->pool_bytes)
        s->counts = (uint64_t *)(void *)(pool + counts);
    return true;
}

uint32_t pool_used(const server *s)
{
    if (!s->session.plan)
        return 0;
    uint32_t used = (uint32_t)(s->session.arena - s->port->pool) + plan_header(s)->arena_bytes;
    if (s->counts)
        used = align_up(used, COUNTS_ALIGN) + plan_ops(s) * (uint32_t)sizeof(uint64_t);
    if (s->kept)
        used = align_up(used, COUNTS_ALIGN) + (uint32_t)sizeof(reservoir) + reservoir_bytes(&s->kept->facts);
    return used;
}

const store *open_store(server *s)
{
    if (!s->store_open)
        store_open(&s->store, s->port->store); /* at first use: it hashes the plans */
    s->store_open = true;
    return &s->store;
}

const uint8_t *plan_in_flash(server *s, uint32_t *bytes, int *slot)
{
    const store *st = open_store(s);
    const uint8_t *sha, *plan = store_plan(st, st->active, bytes, &sha);
    *slot = st->active;
#ifdef PYEDGE_PLAN_FILE
    extern const uint8_t pyedge_plan[], pyedge_plan_end[];
    if (!plan) {
        *slot = LINKED;
        *bytes = (uint32_t)(pyedge_plan_end - pyedge_plan);
        return pyedge_plan;
    }
#endif
    return plan;
}
