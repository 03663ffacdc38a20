#include "server.h"

#include "cbor.h"
#include "mem.h"
#include "ops/ops.h"
#include "sha256.h"

#ifndef PYEDGE_VERSION
#define PYEDGE_VERSION "unversioned" /* set by the build */
#endif

enum {
    RC_UNKNOWN = 1,
    RC_MEMORY = 2,
    RC_VALUE = 3,
    RC_NOT_FOUND = 5,
    RC_STATE = 6,
    RC_SIZE = 7,
    RC_SUPPORT = 8,
    RC_CORRUPT = 9
};
enum { GROUP_OS = 0, GROUP_IMAGE = 1, GROUP_PYEDGE = 70 };
enum { READ = 0, WRITE = 2, HEADER_BYTES = 8, SHA_BYTES = 32, COUNTS_ALIGN = 8 };
enum { UPLOAD_NONE = 0, UPLOAD_POOL = 1, UPLOAD_STORE = 2 };
enum { LINKED = STORE_SLOTS }; /* the "slot" of the plan that was linked with the firmware */

/* What a request carries. A key has one type in all commands, so that one table reads them; unknown keys are passed over. */
typedef struct request {
    uint32_t has; /* bit: row of FIELDS */
    uint32_t off, len, e, i, n, id, prof, crc, data_bytes, sha_bytes;
    const uint8_t *data, *sha;
} request;

enum { TEXT, OFF, DATA, LEN, SHA, ENTRY, INDEX, N, ID, PROF, CRC };

static const struct {
    char key[5];
    uint8_t type;
    uint8_t place; /* of the number, or of the length of a string */
} FIELDS[] = {
    [TEXT] = {"d", CBOR_TEXT, offsetof(request, data_bytes)},
    [OFF] = {"off", CBOR_UINT, offsetof(request, off)},
    [DATA] = {"data", CBOR_BYTES, offsetof(request, data_bytes)},
    [LEN] = {"len", CBOR_UINT, offsetof(request, len)},
    [SHA] = {"sha", CBOR_BYTES, offsetof(request, sha_bytes)},
    [ENTRY] = {"e", CBOR_UINT, offsetof(request, e)},
    [INDEX] = {"i", CBOR_UINT, offsetof(request, i)},
    [N] = {"n", CBOR_UINT, offsetof(request, n)},
    [ID] = {"id", CBOR_UINT, offsetof(request, id)},
    [PROF] = {"prof", CBOR_BOOL, offsetof(request, prof)},
    [CRC] = {"crc", CBOR_UINT, offsetof(request, crc)},
};
enum { FIELD_COUNT = sizeof FIELDS / sizeof FIELDS[0] };

/* What goes wrong. err.status is PE_OK unless a plan was refused. */
typedef struct fault {
    uint32_t rc;
    const char *what;
    pe_error err;
} fault;

static void fail(fault *f, uint32_t rc, const char *what)
{
    f->rc = rc;
    f->what = what;
}

static uint32_t align_up(uint32_t n, uint32_t alignment)
{
    return (n + alignment - 1) & ~(alignment - 1);
}

static void put_uint(cbor_writer *w, const char *key, uint64_t value)
{
    cbor_text(w, key);
    cbor_uint(w, value);
}

static void put_text(cbor_writer *w, const char *key, const char *value)
{
    cbor_text(w, key);
    cbor_text(w, value);
}

static void put_bool(cbor_writer *w, const char *key, bool value)
{
    cbor_text(w, key);
    cbor_bool(w, value);
}

/* -- the plan in use ------------------------------------------------------------------------------------------------- */

static const pe_plan_header *header(const server *s)
{
    return (const pe_plan_header *)(const void *)s->session.plan;
}

static uint32_t op_count(const server *s)
{
    return header(s)->ops.bytes / (uint32_t)sizeof(pe_op);
}

static void release(server *s)
{
    s->session.plan = NULL;
    s->slot = STORE_NONE;
    s->counts = NULL;
    s->counted = s->last.valid = false;
}

/* Takes a plan into use whose SHA-256 was checked, if it came over the link. The pool holds the plan, unless it lies in a slot, then the
 * arena, then the counts. */
static bool bind(server *s, const uint8_t *plan, uint32_t bytes, int slot, fault *f)
{
    release(s);
    if (pe_plan_verify(plan, bytes, slot == LINKED ? 0 : PE_VERIFY_SKIP_CRC, &f->err)) {
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
    if (pe_session_init(&s->session, plan, pool + arena, h->arena_bytes)) {
        release(s);
        fail(f, RC_UNKNOWN, "session");
        return false;
    }
    memset(pool + arena, 0, h->arena_bytes); /* what a run without inputs gives is at least always the same */
    s->slot = (int8_t)slot;
    s->plan_bytes = bytes;
    if (counts + (uint64_t)op_count(s) * sizeof(uint64_t) <= s->port->pool_bytes)
        s->counts = (uint64_t *)(void *)(pool + counts);
    return true;
}

/* Bytes of the pool that are taken. */
static uint32_t pool_used(const server *s)
{
    if (!s->session.plan)
        return 0;
    uint32_t used = (uint32_t)(s->session.arena - s->port->pool) + header(s)->arena_bytes;
    return s->counts ? align_up(used, COUNTS_ALIGN) + op_count(s) * (uint32_t)sizeof(uint64_t) : used;
}

static const store *open_store(server *s)
{
    if (!s->store_open)
        store_open(&s->store, s->port->store); /* at first use: it hashes the plans */
    s->store_open = true;
    return &s->store;
}

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

/* -- uploads, to the pool and to the store --------------------------------------------------------------------------- */

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

static bool begin_upload(server *s, const request *q, uint8_t target, fault *f)
{
    upload *u = &s->upload;
    *u = (upload){.target = UPLOAD_NONE, .bytes = q->len};
    memcpy(u->sha, q->sha, SHA_BYTES);
    if (q->len == 0) {
        fail(f, RC_VALUE, "len");
        return false;
    }
    if (holds(s, target, q->len, q->sha)) {
        u->off = q->len;
        u->good = true;
    } else if (target == UPLOAD_POOL) {
        release(s); /* the one in use may lie there */
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
            release(s);
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
    int32_t taken = store_write(&s->store, u->slot, u->off, q->data, q->data_bytes, q->data_bytes == left);
    if (taken < 0) {
        u->target = UPLOAD_NONE;
        fail(f, RC_UNKNOWN, "the flash failed");
    } else if (taken == 0 && q->data_bytes) {
        fail(f, RC_VALUE, "less data than the flash writes at once");
    } else {
        u->off += (uint32_t)taken;
    }
}

/* Sets good if the whole plan has the right hash and is accepted. Asked again it does the same again. */
static void finish(server *s, fault *f)
{
    upload *u = &s->upload;
    const uint8_t *plan = u->target == UPLOAD_POOL ? s->port->pool : store_slot(&s->store, u->slot);
    if (!has_sha(plan, u->bytes, u->sha))
        return;
    if (u->target == UPLOAD_POOL) {
        u->good = bind(s, plan, u->bytes, STORE_NONE, f);
    } else if (pe_plan_verify(plan, u->bytes, PE_VERIFY_SKIP_CRC, &f->err)) {
        fail(f, RC_CORRUPT, f->err.text);
    } else {
        u->good = store_commit(&s->store, u->slot, u->bytes, u->sha);
        if (!u->good)
            fail(f, RC_UNKNOWN, "the journal failed");
    }
}

static void receive(server *s, const request *q, cbor_writer *w, fault *f, uint8_t target)
{
    upload *u = &s->upload;
    bool opens = q->off == 0 && (q->has >> LEN & q->has >> SHA & 1);
    bool under_way = u->target == target && u->off < u->bytes;
    if (opens && !(under_way && q->len == u->bytes && memcmp(q->sha, u->sha, SHA_BYTES) == 0)) {
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
    if (q->off == u->off && u->off < u->bytes)
        take(s, q, f);
    bool whole = u->off == u->bytes;
    if (whole && !u->good && !f->rc)
        finish(s, f);
    cbor_map(w, 1 + whole);
    put_uint(w, "off", u->off);
    if (whole)
        put_bool(w, "match", u->good);
}

/* -- group 1: image -------------------------------------------------------------------------------------------------- */

static char *put_digits(char *text, uint16_t n)
{
    if (n >= 10)
        text = put_digits(text, n / 10);
    *text++ = (char)('0' + n % 10);
    return text;
}

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
    cbor_array(w, images);
    for (int slot = 0; slot < STORE_SLOTS; slot++) {
        if (!plan[slot])
            continue;
        const pe_plan_header *h = (const pe_plan_header *)(const void *)plan[slot];
        char version[12], *end = put_digits(version, h->major);
        *end++ = '.';
        *put_digits(end, h->minor) = 0;
        cbor_map(w, 7);
        put_uint(w, "slot", (uint32_t)slot);
        put_text(w, "version", version);
        cbor_text(w, "hash");
        cbor_bytes(w, sha[slot], SHA_BYTES);
        put_bool(w, "bootable", true);
        put_bool(w, "active", slot == st->active);
        put_bool(w, "confirmed", slot == st->active);
        put_bool(w, "pending", false);
    }
}

static void cmd_upload(server *s, const request *q, cbor_writer *w, fault *f)
{
    receive(s, q, w, f, UPLOAD_STORE);
}

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
    receive(s, q, w, f, UPLOAD_POOL);
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
    cbor_text(w, "sha");
    cbor_bytes(w, sha, sizeof sha);
    put_uint(w, "len", s->plan_bytes);
    put_uint(w, "arena", header(s)->arena_bytes);
    put_uint(w, "entries", pe_entry_count(&s->session));
    put_uint(w, "ops", op_count(s));
    put_text(w, "where", s->slot == STORE_NONE ? "ram" : "slot");
}

/* The plan in flash: the store's active one, or else the one that was linked with the firmware. */
static const uint8_t *plan_in_flash(server *s, uint32_t *bytes, int *slot)
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
    if (bind(s, plan, bytes, slot, f))
        cmd_plan(s, q, w, f);
}

/* The tensor of an input or output, or NULL after fail(). */
static const pe_tensor *find_tensor(const server *s, const request *q, bool input, uint32_t *number, fault *f)
{
    if (!s->session.plan) {
        fail(f, RC_STATE, "no plan");
        return NULL;
    }
    *number = input ? pe_entry_input_tensor(&s->session, q->e, q->i) : pe_entry_output_tensor(&s->session, q->e, q->i);
    if (*number == PE_NONE) {
        fail(f, RC_VALUE, "no such entry or tensor");
        return NULL;
    }
    const pe_tensor *t = pe_tensor_at(&s->session, *number);
    if (q->off > t->bytes || (input && (q->data_bytes > t->bytes - q->off || t->kind != PE_TENSOR_ARENA))) {
        fail(f, RC_VALUE, "outside the tensor");
        return NULL;
    }
    return t;
}

static void cmd_input(server *s, const request *q, cbor_writer *w, fault *f)
{
    uint32_t number, next = q->off + q->data_bytes;
    if (!find_tensor(s, q, true, &number, f))
        return;
    if (q->has >> CRC & 1 && q->crc != pe_crc32(0, q->data, q->data_bytes)) {
        fail(f, RC_CORRUPT, "crc of data");
        return;
    }
    memcpy((uint8_t *)pe_tensor_data(&s->session, number) + q->off, q->data, q->data_bytes);
    cbor_map(w, 1);
    put_uint(w, "off", next);
}

static void run(server *s, const request *q, uint32_t repeats, fault *f)
{
    bool profiled = q->prof;
    if (profiled && !s->counts) {
        fail(f, RC_MEMORY, "no room in the pool for the counts of each op");
        return;
    }
    pe_profile profile = {.now = port_count, .counts = s->counts};
    if (profiled)
        memset(s->counts, 0, op_count(s) * sizeof *s->counts);
    s->counted = profiled;
    s->last.valid = true;
    s->last.id = q->id;
    s->last.count = 0;
    s->last.crc = 0;
    for (uint32_t i = 0; i < repeats; i++) {
        uint64_t start = port_count(NULL);
        pe_run(&s->session, q->e, profiled ? &profile : NULL);
        s->last.count += port_count(NULL) - start;
    }
    uint32_t number;
    for (uint32_t i = 0; (number = pe_entry_output_tensor(&s->session, q->e, i)) != PE_NONE; i++)
        s->last.crc =
            pe_crc32(s->last.crc, pe_tensor_data(&s->session, number), pe_tensor_at(&s->session, number)->bytes);
}

static void cmd_run(server *s, const request *q, cbor_writer *w, fault *f)
{
    uint32_t repeats = q->has >> N & 1 ? q->n : 1;
    if (!s->session.plan) {
        fail(f, RC_STATE, "no plan");
        return;
    }
    if (q->e >= pe_entry_count(&s->session) || repeats == 0) {
        fail(f, RC_VALUE, "no such entry, or n is 0");
        return;
    }
    if (!s->last.valid || s->last.id != q->id)
        run(s, q, repeats, f);
    cbor_map(w, 3);
    put_uint(w, "id", s->last.id);
    put_uint(w, "count", s->last.count);
    put_uint(w, "crc", s->last.crc);
}

static void cmd_output(server *s, const request *q, cbor_writer *w, fault *f)
{
    uint32_t number, off = q->off, n = q->n;
    const pe_tensor *t = find_tensor(s, q, false, &number, f);
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

static void cmd_profile(server *s, const request *q, cbor_writer *w, fault *f)
{
    uint32_t off = q->off;
    if (!s->session.plan || !s->counted) {
        fail(f, RC_STATE, "the last run was without prof");
        return;
    }
    if (off > op_count(s)) {
        fail(f, RC_VALUE, "off");
        return;
    }
    cbor_map(w, 2);
    put_uint(w, "off", off);
    cbor_text(w, "ops");
    uint32_t room = ((uint32_t)(w->end - w->p) - 5) / 9; /* a count takes 9 bytes at most */
    uint32_t n = op_count(s) - off;
    n = n < room ? n : room;
    cbor_array(w, n);
    for (uint32_t i = 0; i < n; i++)
        cbor_uint(w, s->counts[off + i]);
}

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
    put_uint(w, "arena", bound ? header(s)->arena_bytes : 0);
    put_uint(w, "plan", bound && s->slot == STORE_NONE ? s->plan_bytes : 0);
    put_uint(w, "static", s->port->static_bytes);
    put_uint(w, "stack", stack_used(s->port));
    put_uint(w, "stack_size", s->port->stack ? s->port->stack_bytes : 0);
    put_uint(w, "free", s->port->pool_bytes - pool_used(s));
}

/* -- dispatch -------------------------------------------------------------------------------------------------------- */

typedef struct command {
    uint8_t group, id, op;
    uint16_t needs; /* fields that must be there */
    void (*handle)(server *s, const request *q, cbor_writer *w, fault *f);
} command;

static const command COMMANDS[] = {
    {GROUP_OS, 0, WRITE, 1 << TEXT, cmd_echo},
    {GROUP_OS, 5, WRITE, 0, cmd_reset},
    {GROUP_OS, 6, READ, 0, cmd_parameters},
    {GROUP_IMAGE, 0, READ, 0, cmd_state},
    {GROUP_IMAGE, 1, WRITE, 1 << OFF | 1 << DATA, cmd_upload},
    {GROUP_PYEDGE, 0, READ, 0, cmd_hello},
    {GROUP_PYEDGE, 1, WRITE, 1 << OFF | 1 << DATA, cmd_load},
    {GROUP_PYEDGE, 2, READ, 0, cmd_plan},
    {GROUP_PYEDGE, 3, WRITE, 1 << ENTRY | 1 << INDEX | 1 << OFF | 1 << DATA, cmd_input},
    {GROUP_PYEDGE, 4, WRITE, 1 << ENTRY | 1 << ID, cmd_run},
    {GROUP_PYEDGE, 5, READ, 1 << ENTRY | 1 << INDEX | 1 << OFF | 1 << N, cmd_output},
    {GROUP_PYEDGE, 6, READ, 1 << OFF, cmd_profile},
    {GROUP_PYEDGE, 7, READ, 0, cmd_memory},
    {GROUP_PYEDGE, 8, WRITE, 0, cmd_use_slot},
};

static uint32_t find_field(const cbor_item *key)
{
    uint32_t i = 0;
    while (i < FIELD_COUNT &&
           (strlen(FIELDS[i].key) != key->value || memcmp(FIELDS[i].key, key->data, key->value) != 0))
        i++;
    return i;
}

/* The body: one map and nothing behind it; none at all is an empty map. False: it makes no sense. */
static bool read_request(request *q, const uint8_t *body, uint32_t n)
{
    cbor_reader r = {body, body + n};
    cbor_item map, key, value;
    memset(q, 0, sizeof *q);
    if (n == 0)
        return true;
    if (!cbor_next(&r, &map) || map.type != CBOR_MAP)
        return false;
    for (uint32_t pair = 0; pair < map.value; pair++) {
        if (!cbor_next(&r, &key) || key.type != CBOR_TEXT || !cbor_next(&r, &value) || !cbor_skip(&r, &value))
            return false;
        uint32_t i = find_field(&key);
        if (i == FIELD_COUNT)
            continue;
        if (value.type != FIELDS[i].type || (i == SHA && value.value != SHA_BYTES))
            return false;
        q->has |= 1u << i;
        memcpy((uint8_t *)q + FIELDS[i].place, &value.value, sizeof value.value);
        if (i == SHA)
            q->sha = value.data;
        else if (value.data)
            q->data = value.data;
    }
    return r.p == r.end;
}

static void put_fault(cbor_writer *w, const fault *f, bool own)
{
    bool refused = own && f->err.status != PE_OK;
    bool op = refused && f->err.op != PE_NONE, tensor = refused && f->err.tensor != PE_NONE;
    cbor_map(w, 2 + refused + op + tensor);
    put_uint(w, "rc", f->rc);
    put_text(w, own ? "what" : "rsn", f->what);
    if (refused) {
        cbor_text(w, "st");
        cbor_int(w, f->err.status);
    }
    if (op)
        put_uint(w, "op", f->err.op);
    if (tensor)
        put_uint(w, "t", f->err.tensor);
}

void server_init(server *s, const port_info *port)
{
    memset(s, 0, sizeof *s);
    s->port = port;
    release(s);
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
        fail(&f, RC_SUPPORT, "no such command");
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
