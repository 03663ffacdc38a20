#include "server.h"

#include "bound.h"
#include "images.h"
#include "mem.h"
#include "ops/ops.h"
#include "pyedge_custom.h"
#include "replay.h"
#include "sha256.h"
#include "states.h"
#include "upload.h"

#ifndef PYEDGE_VERSION
#define PYEDGE_VERSION "unversioned" /* set by the build */
#endif

#ifdef PE_RELEASE
#define NO_COMMAND "no such command; release firmware has no profile and no states"
#else
#define NO_COMMAND "no such command"
#endif

enum { GROUP_OS = 0, GROUP_IMAGE = 1, GROUP_PYEDGE = 70 };
enum { READ = 0, WRITE = 2, HEADER_BYTES = 8 };
enum { MAX_REPEATS = 1000 }; /* of one run command: the board does not listen meanwhile */

/* -- group 0: os ----------------------------------------------------------------------------------------------------- */

/* A handler reads all that it needs of q before it writes: the answer takes the place of the request. */

static void cmd_echo(server *s, const request *q, cbor_writer *w, fault *f)
{
    (void)s, (void)f;
    cbor_map(w, 1);
    cbor_text(w, "r");
    cbor_text_n(w, q->data, q->data_bytes); /* never behind where it came from */
}

static void cmd_reset(server *s, const request *q, cbor_writer *w, fault *f)
{
    (void)q, (void)f;
    s->reset = true;
    cbor_map(w, 0);
}

static void cmd_parameters(server *s, const request *q, cbor_writer *w, fault *f)
{
    (void)q, (void)f;
    cbor_map(w, 2);
    put_uint(w, "buf_size", s->port->buf_bytes);
    put_uint(w, "buf_count", 1);
}

/* -- group 1: image -------------------------------------------------------------------------------------------------- */

/* Firmware is SMP's image 0, a plan image 1. */
static void cmd_state(server *s, const request *q, cbor_writer *w, fault *f)
{
    (void)q, (void)f;
    const store *st = open_store(s);
    const uint8_t *plan[STORE_SLOTS], *sha[STORE_SLOTS];
    uint32_t bytes, images = 0;
    for (int slot = 0; slot < STORE_SLOTS; slot++) {
        plan[slot] = store_plan(st, slot, &bytes, &sha[slot]);
        images += plan[slot] != NULL;
    }
    cbor_map(w, 1);
    cbor_text(w, "images");
#ifdef PE_WITH_SLOTS
    cbor_array(w, count_firmware() + images);
    put_firmware(w);
#else
    cbor_array(w, images);
#endif
    for (int slot = 0; slot < STORE_SLOTS; slot++) {
        if (!plan[slot])
            continue;
        const pe_plan_header *h = (const pe_plan_header *)(const void *)plan[slot];
        cbor_map(w, 8);
        put_uint(w, "image", PLAN_IMAGE);
        put_uint(w, "slot", (uint32_t)slot);
        put_version(w, (const uint32_t[]){h->major, h->minor}, 2);
        put_bytes(w, "hash", sha[slot], SHA_BYTES);
        put_bool(w, "bootable", true);
        put_bool(w, "active", slot == st->active);
        put_bool(w, "confirmed", slot == st->active);
        put_bool(w, "pending", false);
    }
}

static void cmd_upload(server *s, const request *q, cbor_writer *w, fault *f)
{
#ifdef PE_WITH_SLOTS
    if (is_firmware(s, q)) {
        receive_chunk(s, q, w, f, UPLOAD_FIRMWARE);
        return;
    }
#endif
    receive_chunk(s, q, w, f, UPLOAD_STORE);
}

#ifdef PE_WITH_SLOTS
static void cmd_set_state(server *s, const request *q, cbor_writer *w, fault *f)
{
    if (set_state(q, f))
        cmd_state(s, q, w, f);
}
#endif

/* -- group 70: pyedge ------------------------------------------------------------------------------------------------ */

static void cmd_hello(server *s, const request *q, cbor_writer *w, fault *f)
{
    (void)q, (void)f;
    uint32_t ops = 0;
    for (uint32_t i = 0; i < pe_op_table_size; i++)
        ops += pe_op_table[i] != NULL;
    cbor_map(w, 12);
    put_uint(w, "proto", 1);
    put_uint(w, "abi", pe_abi_version());
    put_text(w, "board", s->port->board);
    put_text(w, "fw", PYEDGE_VERSION);
    put_text(w, "unit", s->port->unit);
    put_uint(w, "hz", s->port->hz);
    put_uint(w, "buf", s->port->buf_bytes);
    put_uint(w, "pool", s->port->pool_bytes);
    put_uint(w, "boot", s->port->boot);
    put_uint(w, "ops", ops);
    put_uint(w, "slots", s->port->store ? STORE_SLOTS : 0);
    put_uint(w, "static", s->port->static_bytes);
}

static void cmd_load(server *s, const request *q, cbor_writer *w, fault *f)
{
    receive_chunk(s, q, w, f, UPLOAD_POOL);
}

static void cmd_plan(server *s, const request *q, cbor_writer *w, fault *f)
{
    (void)q;
    if (!s->session.plan) {
        fail(f, RC_NOT_FOUND, "no plan");
        return;
    }
    uint8_t sha[SHA_BYTES];
    sha256(s->session.plan, s->plan_bytes, sha); /* of what is there now, not of what came */
    cbor_map(w, 6);
    put_bytes(w, "sha", sha, sizeof sha);
    put_uint(w, "len", s->plan_bytes);
    put_uint(w, "arena", plan_header(s)->arena_bytes);
    put_uint(w, "entries", pe_entry_count(&s->session));
    put_uint(w, "ops", plan_ops(s));
    put_text(w, "where", s->slot == STORE_NONE ? "ram" : "slot");
}

static void cmd_use_slot(server *s, const request *q, cbor_writer *w, fault *f)
{
    int slot;
    uint32_t bytes;
    const uint8_t *plan = plan_in_flash(s, &bytes, &slot);
    if (!plan) {
        fail(f, RC_NOT_FOUND, "no plan in the store");
        return;
    }
    if (s->upload.target == UPLOAD_POOL) /* the arena takes its place */
        s->upload.target = UPLOAD_NONE;
    if (bind_plan(s, plan, bytes, slot, f))
        cmd_plan(s, q, w, f);
}

/* Input or output i of q's entry, with room from off on, or NULL after fail(). */
static const pe_tensor *find_tensor(const server *s, const request *q, bool input, uint32_t i, uint32_t off,
                                    uint32_t *number, fault *f)
{
    if (!s->session.plan) {
        fail(f, RC_STATE, "no plan");
        return NULL;
    }
    *number = input ? pe_entry_input_tensor(&s->session, q->e, i) : pe_entry_output_tensor(&s->session, q->e, i);
    if (*number == PE_NONE) {
        fail(f, RC_VALUE, "no such entry or tensor");
        return NULL;
    }
    const pe_tensor *t = pe_tensor_at(&s->session, *number);
    if (off > t->bytes || (input && t->kind != PE_TENSOR_ARENA)) {
        fail(f, RC_VALUE, "outside the tensor");
        return NULL;
    }
    return t;
}

static void cmd_input(server *s, const request *q, cbor_writer *w, fault *f)
{
    if (has(q, FIELD_CRC) && q->crc != pe_crc32(0, q->data, q->data_bytes)) {
        fail(f, RC_CORRUPT, "crc of data");
        return;
    }
    const uint8_t *data = q->data;
    uint32_t i = q->i, off = q->off, left = q->data_bytes;
    do { /* what goes beyond a tensor goes on in the next */
        uint32_t number;
        const pe_tensor *t = find_tensor(s, q, true, i++, off, &number, f);
        if (!t)
            return;
        const uint32_t room = t->bytes - off, n = left < room ? left : room;
        memcpy((uint8_t *)pe_tensor_data(&s->session, number) + off, data, n);
        data += n;
        left -= n;
        off = 0;
    } while (left);
    cbor_map(w, 1);
    put_uint(w, "off", q->off + q->data_bytes);
}

static void run(server *s, const request *q, uint32_t repeats, fault *f)
{
    bool profiled = q->prof;
#ifdef PE_RELEASE
    if (profiled) {
        fail(f, RC_SUPPORT, "release firmware has no profile");
        return;
    }
#endif
    if (profiled && !s->counts) {
        fail(f, RC_MEMORY, "no room in the pool for the counts of each op");
        return;
    }
    pe_profile profile = {.now = port_count, .counts = s->counts};
    if (profiled)
        memset(s->counts, 0, plan_ops(s) * sizeof *s->counts);
    s->counted = profiled;
    uint64_t spent = 0;
    port_pin(PIN_MARK, true);
    for (uint32_t i = 0; i < repeats; i++) {
        uint64_t start = port_count(NULL);
        pe_run(&s->session, q->e, profiled ? &profile : NULL);
        spent += port_count(NULL) - start;
    }
    port_pin(PIN_MARK, false);
    end_run(s, q, spent, outputs_crc(s, q->e));
}

static void cmd_run(server *s, const request *q, cbor_writer *w, fault *f)
{
    uint32_t repeats = has(q, FIELD_N) ? q->n : 1;
    if (!s->session.plan) {
        fail(f, RC_STATE, "no plan");
        return;
    }
    if (q->e >= pe_entry_count(&s->session) || repeats == 0 || repeats > MAX_REPEATS) {
        fail(f, RC_VALUE, "no such entry, or n is not 1 .. 1000");
        return;
    }
    if (!is_repeat(s, q))
        run(s, q, repeats, f);
    put_run(s, w);
}

static void cmd_output(server *s, const request *q, cbor_writer *w, fault *f)
{
    uint32_t number, off = q->off, n = q->n;
    const pe_tensor *t = find_tensor(s, q, false, q->i, q->off, &number, f);
    if (!t)
        return;
    const uint8_t *data = (const uint8_t *)pe_tensor_data(&s->session, number) + off;
    cbor_map(w, 2);
    put_uint(w, "off", off);
    cbor_text(w, "data");
    uint32_t room = (uint32_t)(w->end - w->p) - 5; /* 5: the longest head of a string; buf_bytes >= 256 */
    uint32_t rest = t->bytes - off;
    n = n < rest ? n : rest;
    cbor_bytes(w, data, n < room ? n : room);
}

#ifndef PE_RELEASE
static void cmd_profile(server *s, const request *q, cbor_writer *w, fault *f)
{
    uint32_t off = q->off;
    if (!s->session.plan || !s->counted) {
        fail(f, RC_STATE, "the last run was without prof");
        return;
    }
    if (off > plan_ops(s)) {
        fail(f, RC_VALUE, "off");
        return;
    }
    cbor_map(w, 2);
    put_uint(w, "off", off);
    cbor_text(w, "ops");
    uint32_t room = ((uint32_t)(w->end - w->p) - 5) / 9; /* a count takes 9 bytes at most */
    uint32_t n = plan_ops(s) - off;
    n = n < room ? n : room;
    cbor_array(w, n);
    for (uint32_t i = 0; i < n; i++)
        cbor_uint(w, s->counts[off + i]);
}
#endif

static uint32_t stack_used(const port_info *port)
{
    uint32_t unused = 0;
    while (port->stack && unused < port->stack_bytes && port->stack[unused] == PORT_PAINT)
        unused++;
    return port->stack ? port->stack_bytes - unused : 0;
}

static void cmd_memory(server *s, const request *q, cbor_writer *w, fault *f)
{
    (void)q, (void)f;
    bool bound = s->session.plan != NULL;
    cbor_map(w, 6);
    put_uint(w, "arena", bound ? plan_header(s)->arena_bytes : 0);
    put_uint(w, "plan", bound && s->slot == STORE_NONE ? s->plan_bytes : 0);
    put_uint(w, "static", s->port->static_bytes);
    put_uint(w, "stack", stack_used(s->port));
    put_uint(w, "stack_size", s->port->stack ? s->port->stack_bytes : 0);
    put_uint(w, "free", s->port->pool_bytes - pool_used(s));
}

static void cmd_custom(server *s, const request *q, cbor_writer *w, fault *f)
{
    (void)s, (void)f;
    uint32_t off = q->off, n = 0;
    uint32_t room = ((uint32_t)(w->end - w->p) - 16) / (PE_CUSTOM_NAME + 7); /* what an op takes at most */
    while (n < room && pe_custom_at(off + n))
        n++;
    cbor_map(w, 2);
    put_uint(w, "off", off);
    cbor_text(w, "ops");
    cbor_map(w, n);
    for (uint32_t i = 0; i < n; i++)
        put_uint(w, pe_custom_at(off + i)->name, pe_custom_at(off + i)->source);
}

/* -- dispatch -------------------------------------------------------------------------------------------------------- */

typedef struct command {
    uint8_t group, id, op;
    uint16_t needs; /* fields that must be there */
    void (*handle)(server *s, const request *q, cbor_writer *w, fault *f);
} command;

static const command COMMANDS[] = {
    {GROUP_OS, 0, WRITE, 1 << FIELD_TEXT, cmd_echo},
    {GROUP_OS, 5, WRITE, 0, cmd_reset},
    {GROUP_OS, 6, READ, 0, cmd_parameters},
    {GROUP_IMAGE, 0, READ, 0, cmd_state},
#ifdef PE_WITH_SLOTS
    {GROUP_IMAGE, 0, WRITE, 0, cmd_set_state},
#endif
    {GROUP_IMAGE, 1, WRITE, 1 << FIELD_OFF | 1 << FIELD_DATA, cmd_upload},
    {GROUP_PYEDGE, 0, READ, 0, cmd_hello},
    {GROUP_PYEDGE, 1, WRITE, 1 << FIELD_OFF | 1 << FIELD_DATA, cmd_load},
    {GROUP_PYEDGE, 2, READ, 0, cmd_plan},
    {GROUP_PYEDGE, 3, WRITE, 1 << FIELD_ENTRY | 1 << FIELD_INDEX | 1 << FIELD_OFF | 1 << FIELD_DATA, cmd_input},
    {GROUP_PYEDGE, 4, WRITE, 1 << FIELD_ENTRY | 1 << FIELD_ID, cmd_run},
    {GROUP_PYEDGE, 5, READ, 1 << FIELD_ENTRY | 1 << FIELD_INDEX | 1 << FIELD_OFF | 1 << FIELD_N, cmd_output},
#ifndef PE_RELEASE
    {GROUP_PYEDGE, 6, READ, 1 << FIELD_OFF, cmd_profile},
#endif
    {GROUP_PYEDGE, 7, READ, 0, cmd_memory},
    {GROUP_PYEDGE, 8, WRITE, 0, cmd_use_slot},
    {GROUP_PYEDGE, 9, READ, 1 << FIELD_OFF, cmd_custom},
#ifdef PE_WITH_STATES
#ifndef PE_RELEASE
    {GROUP_PYEDGE, 10, READ, 1 << FIELD_OFF | 1 << FIELD_N, read_states},
#endif
    {GROUP_PYEDGE, 11, WRITE, 0, keep_states},
    {GROUP_PYEDGE, 13, WRITE, 0, open_replay},
    {GROUP_PYEDGE, 14, WRITE, 1 << FIELD_ENTRY | 1 << FIELD_ID | 1 << FIELD_DATA, remember},
    {GROUP_PYEDGE, 15, WRITE, 1 << FIELD_N | 1 << FIELD_ID, learn},
#ifndef PE_RELEASE
    {GROUP_PYEDGE, 16, READ, 1 << FIELD_INDEX | 1 << FIELD_OFF | 1 << FIELD_N, read_sample_kept},
#endif
#endif
};

void server_init(server *s, const port_info *port)
{
    memset(s, 0, sizeof *s);
    s->port = port;
    release_plan(s);
}

uint32_t server_handle(server *s, uint32_t n)
{
    uint8_t *buf = s->port->buf;
    uint8_t op = buf[0] & 7;
    if (n < HEADER_BYTES || n > s->port->buf_bytes || (uint32_t)(buf[2] << 8 | buf[3]) != n - HEADER_BYTES ||
        (op != READ && op != WRITE))
        return 0;
    uint32_t group = (uint32_t)(buf[4] << 8 | buf[5]), id = buf[7];
    const command *c = COMMANDS, *end = COMMANDS + sizeof COMMANDS / sizeof COMMANDS[0];
    while (c < end && (c->group != group || c->id != id || c->op != op))
        c++;

    request q;
    fault f = {.what = ""};
    cbor_writer w = {buf + HEADER_BYTES, buf + s->port->buf_bytes, false};
    if (c == end)
        fail(&f, RC_SUPPORT, NO_COMMAND);
    else if (!read_request(&q, buf + HEADER_BYTES, n - HEADER_BYTES))
        fail(&f, RC_VALUE, "not a map of the keys and types expected");
    else if ((q.has & c->needs) != c->needs)
        fail(&f, RC_VALUE, "a key is missing");
    else
        c->handle(s, &q, &w, &f);
    if (w.full && !f.rc)
        fail(&f, RC_SIZE, "the answer is too long");
    if (f.rc) {
        w = (cbor_writer){buf + HEADER_BYTES, buf + s->port->buf_bytes, false};
        put_fault(&w, &f, group == GROUP_PYEDGE);
        if (w.full) { /* a reason longer than the buffer */
            w = (cbor_writer){buf + HEADER_BYTES, buf + s->port->buf_bytes, false};
            cbor_map(&w, 1);
            put_uint(&w, "rc", f.rc);
        }
    }
    uint32_t bytes = (uint32_t)(w.p - buf) - HEADER_BYTES;
    buf[0]++; /* read response, write response */
    buf[1] = 0;
    buf[2] = (uint8_t)(bytes >> 8);
    buf[3] = (uint8_t)bytes;
    return HEADER_BYTES + bytes;
}
