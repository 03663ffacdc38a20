/* store.c on a simulated NOR flash whose power is cut at every operation, in three ways: afterwards a whole plan is active, the
 * old or the new one, and the next update works; its states are those kept before or those being kept, whole. Sectors are small,
 * so that the journal turns over. */
#include "pyedge.h"
#include "sha256.h"
#include "store.h"

enum { SECTOR = 256, SLOT = 1536, UNIT = 8, SIZE = 2 * SECTOR + 2 * SLOT, AT = 0, BEGIN = 0, END = SIZE };
#include "nor.h"

static const port_store nor = {flash, SECTOR, SLOT, UNIT};

static void make_plan(uint8_t *plan, uint32_t *bytes, unsigned seed)
{
    srand(seed);
    *bytes = 1 + (uint32_t)rand() % SLOT;
    for (uint32_t i = 0; i < *bytes; i++)
        plan[i] = (uint8_t)(rand() >> 5);
}

enum { CHUNK = 100 };
static uint32_t confirmed; /* what the host has been told of the upload under way */

static uint32_t chunk_at(uint32_t off, uint32_t bytes)
{
    return bytes - off < CHUNK ? bytes - off : CHUNK;
}

/* The rest of an update, from off on. */
static void write_rest(store *s, int slot, uint32_t off, const uint8_t *plan, uint32_t bytes)
{
    uint8_t sha[32];
    sha256(plan, bytes, sha);
    while (off < bytes) {
        const uint32_t n = chunk_at(off, bytes);
        confirmed = off;
        int32_t taken = store_write(s, slot, off, plan + off, n, off + n == bytes);
        CHECK(taken > 0);
        off += (uint32_t)taken;
    }
    CHECK(memcmp(store_slot(s, slot), plan, bytes) == 0);
    CHECK(store_commit(s, slot, bytes, sha) && s->active == slot);
}

/* An update as server.c does it, in odd chunks. */
static void update(store *s, const uint8_t *plan, uint32_t bytes)
{
    confirmed = 0;
    int slot = store_begin(s, bytes);
    CHECK(slot != STORE_NONE && slot != s->active);
    write_rest(s, slot, 0, plan, bytes);
}

/* After a cut the same update goes on where it was, or a little further; from the start only where a write was torn, or the
 * host was told nothing yet. */
static int resume(store *s, const uint8_t *plan, uint32_t bytes)
{
    int slot = store_begin(s, bytes);
    const uint32_t off = confirmed, n = chunk_at(off, bytes);
    CHECK(store_resume(s, slot, off, pe_crc32(1, plan, off), plan + off, n) == 0);
    uint32_t at = store_resume(s, slot, off, pe_crc32(0, plan, off), plan + off, n);
    CHECK(at <= off + n && (at >= off || (at == 0 && cut_how != NONE)));
    write_rest(s, slot, at, plan, bytes);
    return at >= off;
}

static int update_survives(store *s, const uint8_t *plan, uint32_t bytes)
{
    if (setjmp(power))
        return 0;
    update(s, plan, bytes);
    return 1;
}

static int is_active(const store *s, const uint8_t *plan, uint32_t bytes)
{
    uint32_t length;
    const uint8_t *sha, *got = store_plan(s, s->active, &length, &sha);
    return got && length == bytes && memcmp(got, plan, bytes) == 0;
}

/* -- kept states ------------------------------------------------------------------------------------------------------- */

enum { STATES = 300, PLAN = 2 * SECTOR }; /* two sectors, hence a slot of a plan and two copies is full */

static store kept_store; /* not on the stack: longjmp leaves what it holds */

static int keep_survives(const uint8_t *states)
{
    if (setjmp(power))
        return 0;
    CHECK(store_keep(&kept_store, kept_store.active, states, STATES) == KEEP_DONE);
    return 1;
}

static int has_states(const uint8_t *states)
{
    const uint8_t *got = store_states(&kept_store, kept_store.active, STATES);
    return got && memcmp(got, states, STATES) == 0;
}

/* Cuts in 40 times of keeping: the old or the new states, the plan, and the plan before it as well; and keeping goes on. */
static int keep_states(const uint8_t *fallback, const uint8_t *plan, uint32_t fallback_bytes)
{
    static uint8_t old[STATES], new[STATES], next[STATES], before[SIZE];
    const int slot = kept_store.active;
    int cuts = 0;
    for (unsigned i = 0; i < STATES; i++)
        old[i] = (uint8_t)i;
    CHECK(!store_states(&kept_store, slot, STATES));
    CHECK(keep_survives(old) && has_states(old));
    CHECK(!store_states(&kept_store, slot, STATES - 1) && !store_states(&kept_store, 1 - slot, STATES));
    for (unsigned round = 0; round < 40; round++) {
        memcpy(before, flash, SIZE);
        for (unsigned i = 0; i < STATES; i++) {
            new[i] = (uint8_t)(old[i] * 5 + round);
            next[i] = (uint8_t)~new[i];
        }
        for (int how = 0; how < WAYS; how++) {
            for (int at = 1;; at++) {
                memcpy(flash, before, SIZE);
                store_open(&kept_store, &nor);
                CHECK(has_states(old));
                srand((unsigned)at);
                operations = 0;
                cut_at = at;
                cut_how = how;
                if (keep_survives(new))
                    break;
                cuts++;
                cut_at = 0;
                for (int turn = 0; turn < 12; turn++) { /* through both sectors of the journal, opened anew or not */
                    if (turn < 6)
                        store_open(&kept_store, &nor);
                    CHECK(kept_store.active == slot && is_active(&kept_store, plan, PLAN));
                    CHECK(turn ? has_states(turn % 2 ? next : new) : has_states(old) || has_states(new));
                    CHECK(store_keep(&kept_store, slot, turn % 2 ? new : next, STATES) == KEEP_DONE);
                }
                store_open(&kept_store, &nor);
                uint32_t length;
                const uint8_t *sha, *got = store_plan(&kept_store, 1 - slot, &length, &sha);
                CHECK(got && length == fallback_bytes && memcmp(got, fallback, length) == 0);
            }
            cut_at = 0;
        }
        operations = 0;
        CHECK(store_keep(&kept_store, slot, new, STATES) == KEEP_DONE && operations == 0); /* it is there */
        memcpy(old, new, STATES);
    }
    flash[store_states(&kept_store, slot, STATES) - flash] ^= 1;
    CHECK(!store_states(&kept_store, slot, STATES));
    CHECK(store_keep(&kept_store, slot, next, STATES) == KEEP_DONE && has_states(next));
    CHECK(store_keep(&kept_store, slot, plan, PLAN) == KEEP_DONE); /* other sizes begin anew */
    CHECK(store_keep(&kept_store, slot, plan, UINT32_MAX) == KEEP_NO_ROOM);
    return cuts;
}

int main(void)
{
    static uint8_t old[SLOT], new[SLOT], next[SLOT], before[SIZE];
    uint32_t old_bytes, new_bytes, next_bytes;
    store s;
    int cuts = 0, kept = 0, resumed = 0;

    /* A flash of garbage is a store without a plan, and takes one. */
    srand(9);
    for (int i = 0; i < SIZE; i++)
        flash[i] = (uint8_t)(rand() >> 5);
    store_open(&s, &nor);
    CHECK(s.active == STORE_NONE);
    make_plan(old, &old_bytes, 1);
    update(&s, old, old_bytes);

    for (unsigned round = 0; round < 40; round++) { /* the journal has 2 x 4 places */
        memcpy(before, flash, SIZE);
        make_plan(new, &new_bytes, 2 * round + 2);
        make_plan(next, &next_bytes, 2 * round + 3);
        for (int how = 0; how < WAYS; how++) {
            for (int at = 1;; at++) {
                memcpy(flash, before, SIZE);
                store_open(&s, &nor);
                CHECK(is_active(&s, old, old_bytes));
                srand((unsigned)at);
                operations = 0;
                cut_at = at;
                cut_how = how;
                if (update_survives(&s, new, new_bytes))
                    break; /* fewer operations than that */
                cuts++;
                cut_at = 0;
                store_open(&s, &nor);
                CHECK(is_active(&s, old, old_bytes) || is_active(&s, new, new_bytes));
                if (is_active(&s, old, old_bytes)) {
                    kept++;
                    resumed += resume(&s, new, new_bytes);
                    store_open(&s, &nor);
                    CHECK(is_active(&s, new, new_bytes));
                }
                update(&s, next, next_bytes);
                store_open(&s, &nor);
                CHECK(is_active(&s, next, next_bytes));
            }
            cut_at = 0;
        }
        store_open(&s, &nor);
        CHECK(is_active(&s, new, new_bytes));
        memcpy(old, new, new_bytes);
        old_bytes = new_bytes;
    }

    /* A slot that rots gives way to the one before; one that rots too leaves none. */
    update(&s, next, next_bytes);
    int slot = s.active;
    flash[store_slot(&s, slot) - flash] ^= 1;
    store_open(&s, &nor);
    CHECK(s.active == 1 - slot && is_active(&s, old, old_bytes));
    flash[store_slot(&s, 1 - slot) - flash] ^= 1;
    store_open(&s, &nor);
    CHECK(s.active == STORE_NONE);
    update(&s, next, next_bytes);
    store_open(&s, &nor);
    CHECK(is_active(&s, next, next_bytes));

    /* Keeping states, in a slot that it fills. */
    make_plan(old, &old_bytes, 3);
    update(&s, old, old_bytes);
    for (int i = 0; i < PLAN; i++)
        new[i] = (uint8_t)(i * 7);
    update(&s, new, PLAN);
    store_open(&kept_store, &nor);
    cuts += keep_states(old, new, old_bytes);
    store_open(&s, &nor);
    update(&s, next, next_bytes); /* into the other slot */
    CHECK(!store_states(&s, s.active, STATES));
    update(&s, new, PLAN); /* the plan that had states: they are gone with the upload */
    CHECK(!store_states(&s, s.active, STATES));
    update(&s, next, next_bytes);

    CHECK(store_begin(&s, SLOT + 1) == STORE_NONE);
    port_store read_only = nor;
    read_only.write_bytes = 0;
    store_open(&s, &read_only);
    CHECK(is_active(&s, next, next_bytes) && store_begin(&s, 1) == STORE_NONE);
    CHECK(store_keep(&s, s.active, new, STATES) == KEEP_READ_ONLY);

    printf("%d cuts, %d kept the old plan, %d of them went on, 0 lost both\n", cuts, kept, resumed);
    return 0;
}
