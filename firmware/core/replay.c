#include "replay.h"

#include "bound.h"
#include "mem.h"
#include "reservoir.h"

enum { MAX_STEPS = 1000 }; /* of one command: the board does not listen meanwhile */

/* What learns: "train" takes rows of samples, each input a batch of them, the targets last. "features", where there is such an
 * entry, makes the rest of a row of an input of its own. */
typedef struct learner {
    int32_t train, features, accumulate; /* entries; negative: none */
    uint32_t batch, inputs;
    uint32_t bytes[RESERVOIR_PIECES]; /* of a sample, by input */
    uint32_t row_bytes;
} learner;

static uint8_t *input_data(const server *s, int32_t entry, uint32_t i)
{
    return pe_tensor_data(&s->session, pe_entry_input_tensor(&s->session, (uint32_t)entry, i));
}

static const pe_tensor *input_of(const server *s, int32_t entry, uint32_t i)
{
    const uint32_t number = pe_entry_input_tensor(&s->session, (uint32_t)entry, i);
    return number == PE_NONE ? NULL : pe_tensor_at(&s->session, number);
}

static bool find_learner(const server *s, learner *l)
{
    *l = (learner){.train = pe_entry_find(&s->session, "train"),
                   .features = pe_entry_find(&s->session, "features"),
                   .accumulate = pe_entry_find(&s->session, "accumulate")};
    if (l->train < 0)
        return false;
    const pe_tensor *t;
    for (; (t = input_of(s, l->train, l->inputs)); l->inputs++) {
        const uint32_t batch = t->rank ? (uint32_t)t->dims[0] : 0;
        if (batch == 0 || l->inputs == RESERVOIR_PIECES || t->kind != PE_TENSOR_ARENA ||
            (l->batch && batch != l->batch))
            return false;
        const pe_tensor *same = l->accumulate < 0 ? t : input_of(s, l->accumulate, l->inputs);
        if (!same || same->bytes != t->bytes || same->kind != PE_TENSOR_ARENA)
            return false;
        l->batch = batch;
        l->bytes[l->inputs] = t->bytes / batch;
        l->row_bytes += t->bytes / batch;
    }
    for (uint32_t i = 0; l->features >= 0 && i + 1 < l->inputs; i++) {
        const uint32_t number = pe_entry_output_tensor(&s->session, (uint32_t)l->features, i);
        if (number == PE_NONE || pe_tensor_at(&s->session, number)->bytes != l->bytes[i])
            return false;
    }
    return l->inputs > 1 && l->row_bytes <= 1u << 24;
}

/* The place of the samples of the plan in use: between it and its states. */
static bool find_area(server *s, const learner *l, reservoir_area *area)
{
    const store *st = open_store(s);
    const uint8_t *sha;
    uint32_t bytes;
    if (s->slot == STORE_NONE || s->slot != st->active || !store_plan(st, s->slot, &bytes, &sha) ||
        !st->flash->write_bytes)
        return false;
    const uint32_t begin = (uint32_t)(store_slot(st, s->slot) - st->flash->base), sector = st->flash->sector_bytes;
    const uint64_t states = ((uint64_t)plan_header(s)->state_bytes + sector - 1) / sector * sector * 2;
    const uint64_t plan = ((uint64_t)bytes + sector - 1) / sector * sector;
    if (plan + states > st->flash->slot_bytes)
        return false;
    *area = (reservoir_area){.flash = st->flash,
                             .begin = begin + (uint32_t)plan,
                             .end = begin + st->flash->slot_bytes - (uint32_t)states,
                             .row_bytes = l->row_bytes,
                             .owner = sha,
                             .first = st->sequence << 8};
    return true;
}

/* Finds what learns, and the reservoir that is open, or the one that the flash holds. */
static bool find_kept(server *s, learner *l, const reservoir_facts *wanted, fault *f)
{
    reservoir_area area;
    reservoir_facts facts;
    if (!s->session.plan) {
        fail(f, RC_STATE, "no plan");
        return false;
    }
    if (!find_learner(s, l) || (wanted && wanted->accumulate > 1 && l->accumulate < 0)) {
        fail(f, RC_SUPPORT, "the plan does not learn from samples");
        return false;
    }
    if (s->kept && (!wanted || memcmp(&s->kept->facts, wanted, sizeof *wanted) == 0))
        return true;
    s->kept = NULL;
    if (!find_area(s, l, &area)) {
        fail(f, RC_SUPPORT,
             "only a plan in flash that the board can write, the newest one there, has a place for samples");
        return false;
    }
    if (!wanted && !reservoir_find(&area, &facts)) {
        fail(f, RC_SUPPORT, "no samples are kept");
        return false;
    }
    if (wanted)
        facts = *wanted;
    if (facts.size > reservoir_room(&area)) {
        fail(f, RC_MEMORY, "the slot has no room for so many samples");
        return false;
    }
    const uint32_t at = (pool_used(s) + 7) & ~7u, room = s->port->pool_bytes - (at < s->port->pool_bytes ? at : 0);
    if (at >= s->port->pool_bytes || sizeof(reservoir) + reservoir_bytes(&facts) > room) {
        fail(f, RC_MEMORY, "the pool has no room for a table of the samples");
        return false;
    }
    reservoir *r = (reservoir *)(void *)(s->port->pool + at);
    if (!reservoir_open(r, &area, &facts, r + 1)) {
        fail(f, RC_UNKNOWN, "the flash failed");
        return false;
    }
    s->kept = r;
    return true;
}

void open_replay(server *s, const request *q, cbor_writer *w, fault *f)
{
    const reservoir_facts wanted = {q->n, q->seed, q->classes, q->accumulate};
    const bool begins = has(q, FIELD_N);
    learner l;
    if (begins && (q->n == 0 || q->n > RESERVOIR_MOST || q->classes == 0 || q->classes > RESERVOIR_MOST ||
                   q->accumulate == 0 || q->accumulate > RESERVOIR_MOST)) {
        fail(f, RC_VALUE, "n, cls or acc is not 1 .. 65536");
        return;
    }
    if (!find_kept(s, &l, begins ? &wanted : NULL, f))
        return;
    cbor_map(w, 4);
    put_uint(w, "n", s->kept->facts.size);
    put_uint(w, "kept", s->kept->kept);
    put_uint(w, "seen", s->kept->seen);
    put_uint(w, "row", l.row_bytes);
}

void remember(server *s, const request *q, cbor_writer *w, fault *f)
{
    if (is_repeat(s, q)) {
        put_run(s, w);
        return;
    }
    learner l;
    if (!find_kept(s, &l, NULL, f))
        return;
    const bool made = l.features >= 0 && q->e == (uint32_t)l.features;
    const uint32_t target = l.inputs - 1;
    if ((!made && q->e != (uint32_t)l.train) || q->data_bytes != l.bytes[target]) {
        fail(f, RC_VALUE, "e is neither features nor train, or data is not the target of one sample");
        return;
    }
    if (has(q, FIELD_CRC) && q->crc != pe_crc32(0, q->data, q->data_bytes)) {
        fail(f, RC_CORRUPT, "crc of data");
        return;
    }
    const pe_tensor *t = input_of(s, l.train, target);
    uint32_t class = 0;
    if (t->dtype == PE_S32 && l.bytes[target] == sizeof class) {
        memcpy(&class, q->data, sizeof class);
        if (class >= s->kept->facts.classes) {
            fail(f, RC_VALUE, "the target is no class");
            return;
        }
    }
    const uint64_t start = port_count(NULL);
    if (made)
        pe_run(&s->session, (uint32_t)l.features, NULL);
    reservoir_piece pieces[RESERVOIR_PIECES];
    for (uint32_t i = 0; i < target; i++) {
        const uint8_t *data = input_data(s, l.train, i);
        if (made)
            data = pe_tensor_data(&s->session, pe_entry_output_tensor(&s->session, (uint32_t)l.features, i));
        pieces[i] = (reservoir_piece){data, l.bytes[i]};
    }
    pieces[target] = (reservoir_piece){q->data, q->data_bytes};
    const offer_result result = reservoir_offer(s->kept, class, pieces, l.inputs);
    if (result == OFFER_FAILED) {
        fail(f, RC_UNKNOWN, "the flash failed");
        return;
    }
    end_run(s, q, port_count(NULL) - start, result == OFFER_KEPT);
    put_run(s, w);
}

/* Fills the inputs of an entry with samples drawn at random. */
static void draw_batch(server *s, const learner *l, int32_t entry)
{
    for (uint32_t b = 0; b < l->batch; b++) {
        const uint8_t *row = reservoir_row(s->kept, reservoir_draw(s->kept));
        for (uint32_t i = 0; i < l->inputs; row += l->bytes[i++])
            memcpy(input_data(s, entry, i) + b * l->bytes[i], row, l->bytes[i]);
    }
}

void learn(server *s, const request *q, cbor_writer *w, fault *f)
{
    if (is_repeat(s, q)) {
        put_run(s, w);
        return;
    }
    learner l;
    if (q->n == 0 || q->n > MAX_STEPS) {
        fail(f, RC_VALUE, "n is not 1 .. 1000");
        return;
    }
    if (!find_kept(s, &l, NULL, f))
        return;
    if (s->kept->kept == 0 || (s->kept->facts.accumulate > 1 && l.accumulate < 0)) {
        fail(f, RC_SUPPORT, "no samples are kept");
        return;
    }
    const uint64_t start = port_count(NULL);
    for (uint32_t step = 0; step < q->n; step++) {
        for (uint32_t part = 1; part < s->kept->facts.accumulate; part++) {
            draw_batch(s, &l, l.accumulate);
            pe_run(&s->session, (uint32_t)l.accumulate, NULL);
        }
        draw_batch(s, &l, l.train);
        pe_run(&s->session, (uint32_t)l.train, NULL);
    }
    end_run(s, q, port_count(NULL) - start, outputs_crc(s, (uint32_t)l.train));
    put_run(s, w);
}

#ifndef PE_RELEASE
void read_sample_kept(server *s, const request *q, cbor_writer *w, fault *f)
{
    learner l;
    uint32_t off = q->off, n = q->n;
    if (!find_kept(s, &l, NULL, f))
        return;
    if (q->i >= s->kept->kept || off > l.row_bytes) {
        fail(f, RC_VALUE, "no such sample, or outside of it");
        return;
    }
    put_chunk(w, reservoir_row(s->kept, q->i) + off, off, n, l.row_bytes - off);
}
#endif
