/* boot.c and state.c on a simulated NOR flash whose power is cut at every operation, in three ways, through updates that are
 * confirmed, made permanent, left unconfirmed, or never arrive whole: there is always a whole image that boots, the old or the
 * new one, and the next update works. Images are unsigned here; test_image.py has the signatures. */
#include "boot.h"
#include "sha256.h"

enum { SECTOR = 256, SLOT = 512, UNIT = 8, SIZE = 2 * SECTOR + 2 * SLOT, AT = 1024, BEGIN = 0, END = SIZE };
#include "nor.h"

enum { CONFIRM, PERMANENT, LEAVE, DAMAGED, COURSES }; /* what becomes of an update */

static const port_slots nor = {{flash, SECTOR, SLOT, UNIT}, AT};

static void put32(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

/* Header, 200 bytes, a security counter, and the hash. */
static uint32_t make_image(uint8_t *to, unsigned seed, uint32_t counter)
{
    enum { PAYLOAD = 200, PROTECTED = 12 };
    uint8_t *p = to + 32 + PAYLOAD;
    memset(to, 0, 32);
    put32(to, 0x96f3b83d);
    put32(to + 8, 32 | PROTECTED << 16);
    put32(to + 12, PAYLOAD);
    put32(to + 20, seed);
    memset(to + 32, (int)seed, PAYLOAD);
    put32(p, 0x6908 | PROTECTED << 16);
    put32(p + 4, 0x50 | 4 << 16);
    put32(p + 8, counter);
    put32(p + 12, 0x6907 | 40 << 16);
    put32(p + 16, 0x10 | 32 << 16);
    sha256(to, 32 + PAYLOAD + PROTECTED, p + 20);
    return 32 + PAYLOAD + PROTECTED + 40;
}

static void write_image(int slot, unsigned seed, uint32_t counter, bool damaged)
{
    static uint8_t data[SLOT];
    memset(data, 0xFF, sizeof data);
    uint32_t bytes = (make_image(data, seed, counter) + UNIT - 1) / UNIT * UNIT;
    data[100] ^= damaged;
    const uint32_t at = AT + 2 * SECTOR + (uint32_t)slot * SLOT;
    for (uint32_t off = 0; off < SLOT; off += SECTOR)
        CHECK(!port_erase(at + off));
    for (uint32_t off = 0; off < bytes; off += 64)
        CHECK(!port_program(at + off, data + off, bytes - off < 64 ? bytes - off : 64));
}

static bool receive(int slot, unsigned seed)
{
    boot_upload upload = {.slot = (uint8_t)slot, .sha = {(uint8_t)seed}};
    return boot_receive(&nor, &upload);
}

/* The seed of the image that a reset starts. */
static unsigned reset(int *slot)
{
    image i;
    *slot = boot_choose(&i, &nor, NULL);
    CHECK(*slot >= 0);
    return (unsigned)(i.major | i.minor << 8);
}

/* One update, from the firmware that runs in `running`, to the end of its course. The seed that runs then. */
static unsigned update(int running, unsigned seed, uint32_t counter, int course)
{
    int slot;
    CHECK(receive(1 - running, seed)); /* what was waiting in the slot is waiting no more */
    write_image(1 - running, seed, counter, course == DAMAGED);
    CHECK(boot_try(&nor, 1 - running, course == PERMANENT));
    unsigned runs = reset(&slot);
    if (course == CONFIRM)
        CHECK(runs == seed && boot_confirm(&nor, slot));
    if (course == LEAVE)
        CHECK(runs == seed);
    return reset(&slot);
}

static int update_survives(int running, unsigned seed, uint32_t counter, int course)
{
    if (setjmp(power))
        return 0;
    update(running, seed, counter, course);
    return 1;
}

int main(void)
{
    static uint8_t before[SIZE];
    int cuts = 0, old_kept = 0, slot;
    image i;
    boot_state s;
    unsigned seed = 1;
    uint32_t counter = 1;

    /* Nothing to run, in erased flash and in garbage; then slot 1, because it is there. */
    memset(flash, 0xFF, SIZE);
    CHECK(boot_choose(&i, &nor, NULL) == -1);
    srand(5);
    for (int k = 0; k < SIZE; k++)
        flash[k] = (uint8_t)(rand() >> 5);
    CHECK(boot_choose(&i, &nor, NULL) == -1);
    write_image(1, seed, counter, false);
    CHECK(reset(&slot) == seed && slot == 1);
    state_read(&s, &nor);
    CHECK(s.confirmed == 1 && s.floor == counter);

    for (int round = 0; round < 48; round++) { /* the journal has 2 x 4 places */
        const int course = round % COURSES;
        const unsigned new = seed + 1, next = seed + 2;
        memcpy(before, flash, SIZE);
        for (int how = 0; how < WAYS; how++) {
            for (int at = 1;; at++) {
                memcpy(flash, before, SIZE);
                CHECK(reset(&slot) == seed);
                srand((unsigned)at);
                operations = 0;
                cut_at = at;
                cut_how = how;
                if (update_survives(slot, new, counter + 1, course))
                    break;
                cuts++;
                cut_at = 0;
                unsigned runs = reset(&slot);
                CHECK(runs == seed || (runs == new && course != DAMAGED));
                old_kept += runs == seed;
                if (runs == new)
                    CHECK(boot_confirm(&nor, slot));
                CHECK(update(slot, next, counter + 2, CONFIRM) == next);
            }
            cut_at = 0;
        }
        memcpy(flash, before, SIZE);
        CHECK(reset(&slot) == seed);
        const unsigned runs = update(slot, new, counter + 1, course);
        CHECK(runs == (course == CONFIRM || course == PERMANENT ? new : seed));
        CHECK(reset(&slot) == runs);
        state_read(&s, &nor);
        counter += runs == new;
        CHECK(s.floor == counter && s.next == SLOT_NONE);
        seed = runs;
    }

    /* An image that is older than the one confirmed is not started, and the board goes on. */
    CHECK(reset(&slot) == seed);
    CHECK(update(slot, seed + 1, counter - 1, PERMANENT) == seed);
    /* A confirmed image that rots gives way to the one before, unless that is older: then nothing may run. */
    write_image(1 - slot, seed + 1, counter, false);
    flash[slot_data(&nor, slot) - flash + 90] ^= 4;
    CHECK(reset(&slot) == seed + 1);
    state_read(&s, &nor);
    CHECK(s.confirmed == slot);
    flash[slot_data(&nor, slot) - flash + 90] ^= 4;
    write_image(1 - slot, seed, counter - 1, false);
    CHECK(boot_choose(&i, &nor, NULL) == -1);

    /* Asked again, nothing is written; a slot without an image can't be confirmed. */
    write_image(0, 1, counter, false);
    CHECK(reset(&slot) == 1 && slot == 0);
    CHECK(boot_try(&nor, 1, false));
    operations = 0;
    CHECK(boot_try(&nor, 1, false) && operations == 0);
    CHECK(receive(1, 7) && operations == 1 && receive(1, 7) && operations == 1);
    state_read(&s, &nor);
    CHECK(s.next == SLOT_NONE && s.upload.slot == 1 && s.upload.sha[0] == 7);
    CHECK(boot_confirm(&nor, 0));
    flash[slot_data(&nor, 1) - flash] ^= 1;
    CHECK(!boot_confirm(&nor, 1));
    printf("%d cuts, %d kept the old image, 0 boards without one\n", cuts, old_kept);
    return 0;
}
