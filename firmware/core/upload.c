#include "upload.h"

#include "bound.h"
#include "images.h"
#include "mem.h"
#include "sha256.h"

static bool has_sha(const uint8_t *data, uint32_t bytes, const uint8_t *sha)
{
    uint8_t digest[SHA_BYTES];
    sha256(data, bytes, digest);
    return memcmp(digest, sha, sizeof digest) == 0;
}

/* Whether the target holds that very plan already, as it lies there now. */
static bool holds(server *s, uint8_t target, uint32_t bytes, const uint8_t *sha)
{
    if (target == UPLOAD_POOL)
        return s->session.plan == s->port->pool && s->plan_bytes == bytes && has_sha(s->session.plan, bytes, sha);
    const store *st = open_store(s);
    const uint8_t *recorded;
    uint32_t length;
    const uint8_t *plan = store_plan(st, st->active, &length, &recorded);
    return plan && length == bytes && memcmp(recorded, sha, SHA_BYTES) == 0 && has_sha(plan, length, sha);
}

/* The store that the upload under way goes into. */
static store *store_of(server *s)
{
#ifdef PE_WITH_SLOTS
    if (s->upload.target == UPLOAD_FIRMWARE)
        return &s->firmware;
#endif
    return &s->store;
}

static bool begin_upload(server *s, const request *q, uint8_t target, fault *f)
{
    upload *u = &s->upload;
    *u = (upload){.target = UPLOAD_NONE, .bytes = q->len};
    memcpy(u->sha, q->sha, SHA_BYTES);
    if (q->len == 0) {
        fail(f, RC_VALUE, "len");
        return false;
    }
#ifdef PE_WITH_SLOTS
    if (target == UPLOAD_FIRMWARE) {
        if (!begin_firmware(s, q, f))
            return false;
        u->target = target;
        return true;
    }
#endif
    if (holds(s, target, q->len, q->sha)) {
        u->off = q->len;
        u->good = true;
        if (target == UPLOAD_POOL)
            pe_session_reset(&s->session); /* as when it came */
    } else if (target == UPLOAD_POOL) {
        release_plan(s); /* the one in use may lie there */
        if (q->len > s->port->pool_bytes) {
            fail(f, RC_MEMORY, "the plan does not fit into the pool");
            return false;
        }
    } else {
        if (!s->port->store || !s->port->store->write_bytes) {
            fail(f, RC_SUPPORT, "this board cannot write its store");
            return false;
        }
        u->slot = (int8_t)store_begin(&s->store, q->len);
        if (u->slot == STORE_NONE) {
            fail(f, RC_MEMORY, "the plan does not fit into a slot");
            return false;
        }
        if (u->slot == s->slot)
            release_plan(s);
        if (q->off && q->off <= q->len && q->data_bytes <= q->len - q->off)
            u->off = store_resume(&s->store, u->slot, q->off, q->crc, q->data, q->data_bytes);
    }
    u->target = target;
    return true;
}

/* Takes as much of the chunk as the target can. */
static void take(server *s, const request *q, fault *f)
{
    upload *u = &s->upload;
    uint32_t left = u->bytes - u->off;
    if (q->data_bytes > left) {
        fail(f, RC_VALUE, "more data than len");
        return;
    }
    if (u->target == UPLOAD_POOL) {
        memcpy(s->port->pool + u->off, q->data, q->data_bytes);
        u->off += q->data_bytes;
        return;
    }
    int32_t taken = store_write(store_of(s), u->slot, u->off, q->data, q->data_bytes, q->data_bytes == left);
    if (taken < 0) {
        u->target = UPLOAD_NONE;
        fail(f, RC_UNKNOWN, "the flash failed");
    } else if (taken == 0 && q->data_bytes) {
        fail(f, RC_VALUE, "less data than the flash writes at once");
    } else {
        u->off += (uint32_t)taken;
#ifdef PE_WITH_SLOTS
        if (u->target == UPLOAD_FIRMWARE)
            note_firmware(s, u->off - (uint32_t)taken);
#endif
    }
}

/* Sets good if the whole plan has the right hash and is accepted. Asked again it does the same again. */
static void finish(server *s, fault *f)
{
    upload *u = &s->upload;
    const uint8_t *plan = u->target == UPLOAD_POOL ? s->port->pool : store_slot(store_of(s), u->slot);
    const bool arrived = has_sha(plan, u->bytes, u->sha);
#ifdef PE_WITH_SLOTS
    if (!arrived && u->target == UPLOAD_FIRMWARE)
        forget_firmware();
#endif
    if (!arrived)
        return;
#ifdef PE_WITH_SLOTS
    if (u->target == UPLOAD_FIRMWARE) {
        u->good = accept_firmware(s, f); /* it waits there for a request to test or confirm it */
        return;
    }
#endif
    if (u->target == UPLOAD_POOL) {
        u->good = bind_plan(s, plan, u->bytes, STORE_NONE, f);
    } else if (pe_plan_verify(plan, u->bytes, PE_VERIFY_SKIP_CRC, &f->err)) {
        fail(f, RC_CORRUPT, f->err.text);
    } else {
        u->good = store_commit(&s->store, u->slot, u->bytes, u->sha);
        if (!u->good)
            fail(f, RC_UNKNOWN, "the journal failed");
    }
}

/* Of an upload that is under way, or perhaps was before a reset. */
static bool goes_on(const upload *u, const request *q)
{
    if (u->off >= u->bytes || q->len != u->bytes || memcmp(q->sha, u->sha, SHA_BYTES) != 0)
        return false;
#ifdef PE_WITH_SLOTS
    if (u->target == UPLOAD_FIRMWARE && has(q, FIELD_CRC) && q->off >= u->off)
        return false; /* the host knows of more */
#endif
    return true;
}

/* What a host that knows how to go on after a reset is told before it writes: how much the slot may hold. */
static uint32_t held(const upload *u, const request *q)
{
#ifdef PE_WITH_SLOTS
    if (u->target == UPLOAD_FIRMWARE && has(q, FIELD_CRC))
        return u->held;
#endif
    (void)u, (void)q;
    return 0;
}

void receive_chunk(server *s, const request *q, cbor_writer *w, fault *f, uint8_t target)
{
    upload *u = &s->upload;
    bool opens = (q->off == 0 || has(q, FIELD_CRC)) && has(q, FIELD_LEN) && has(q, FIELD_SHA);
    if (opens && !(u->target == target && goes_on(u, q))) {
        if (!begin_upload(s, q, target, f))
            return;
    } else if (q->off == 0 && u->target != target) {
        fail(f, RC_VALUE, "an upload begins with len and sha");
        return;
    }
    if (u->target != target) { /* nothing is under way, perhaps after a reset: begin again */
        cbor_map(w, 1);
        put_uint(w, "off", 0);
        return;
    }
    const uint32_t more = held(u, q);
    if (q->off == u->off && u->off < u->bytes && !more)
        take(s, q, f);
    bool whole = u->off == u->bytes;
    if (whole && !u->good && !f->rc)
        finish(s, f);
    cbor_map(w, 1 + whole + (more != 0));
    put_uint(w, "off", u->off);
    if (more)
        put_uint(w, "held", more);
    if (whole)
        put_bool(w, "match", u->good);
}
