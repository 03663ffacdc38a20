#include "states.h"

#include "bound.h"
#include "mem.h"

void restore_states(server *s)
{
    const uint32_t bytes = plan_header(s)->state_bytes;
    if (s->slot < 0 || s->slot >= STORE_SLOTS || bytes == 0)
        return;
    const uint8_t *kept = store_states(open_store(s), s->slot, bytes);
    if (kept)
        memcpy(s->session.arena, kept, bytes);
}

#ifndef PE_RELEASE
void read_states(server *s, const request *q, cbor_writer *w, fault *f)
{
    uint32_t off = q->off, n = q->n;
    if (!s->session.plan) {
        fail(f, RC_STATE, "no plan");
        return;
    }
    uint32_t bytes = plan_header(s)->state_bytes;
    if (off > bytes) {
        fail(f, RC_VALUE, "outside the states");
        return;
    }
    put_chunk(w, s->session.arena + off, off, n, bytes - off);
}
#endif

void keep_states(server *s, const request *q, cbor_writer *w, fault *f)
{
    (void)q;
    if (!s->session.plan) {
        fail(f, RC_STATE, "no plan");
        return;
    }
    const uint32_t bytes = plan_header(s)->state_bytes;
    if (s->slot == STORE_NONE || s->slot != open_store(s)->active) {
        fail(f, RC_SUPPORT, "only a plan in flash, the newest one there, has a place for its states");
        return;
    }
    switch (bytes ? store_keep(&s->store, s->slot, s->session.arena, bytes) : KEEP_DONE) {
    case KEEP_READ_ONLY: fail(f, RC_SUPPORT, "this board cannot write its store"); return;
    case KEEP_NO_ROOM: fail(f, RC_MEMORY, "the slot has no room for the plan and two copies of its states"); return;
    case KEEP_FAILED: fail(f, RC_UNKNOWN, "the flash failed"); return;
    case KEEP_DONE: break;
    }
    cbor_map(w, 1);
    put_uint(w, "n", bytes);
}
