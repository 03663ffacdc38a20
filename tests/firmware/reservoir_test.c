/* reservoir.c on a simulated NOR flash whose power is cut at every operation, in three ways: afterwards it has the samples from
 * before, with or without the one that was on its way, and takes more. Sectors are small, so that banks change. */
#include "reservoir.h"

enum { SECTOR = 256, UNIT = 8, SIZE = 14 * SECTOR, AT = 0, BEGIN = SECTOR, END = 13 * SECTOR };
#include "nor.h"

enum { ROW = 150, KEPT = 6, CLASSES = 3 };

static const port_store nor = {flash, SECTOR, SIZE, UNIT};
static const uint8_t owner[RESERVOIR_SHA] = "a plan!", other[RESERVOIR_SHA] = "another";
static const reservoir_area area = {&nor, BEGIN, END, ROW, owner, 1};
static reservoir_facts facts = {KEPT, 7, CLASSES, 1};
static uint32_t ram[KEPT + 3 * CLASSES + 8];
static reservoir r; /* not on the stack: longjmp leaves what it holds */

/* A sample that says its number, and is of class number % CLASSES. */
static offer_result offer(uint32_t number)
{
    uint8_t row[ROW];
    memset(row, (int)number, sizeof row);
    const reservoir_piece pieces[] = {{row, 1}, {row + 1, 60}, {row + 61, 0}, {row + 61, ROW - 61}};
    return reservoir_offer(&r, number % CLASSES, pieces, 4);
}

static void open_anew(void)
{
    CHECK(reservoir_bytes(&facts) <= sizeof ram && reservoir_open(&r, &area, &facts, ram));
}

/* The numbers of the samples kept, as bits. Their rows are whole, and classes are counted as they are. */
static uint64_t samples(void)
{
    uint64_t found = 0;
    uint32_t counts[CLASSES] = {0};
    for (uint32_t i = 0; i < r.kept; i++) {
        const uint8_t *row = reservoir_row(&r, i);
        for (uint32_t k = 0; k < ROW; k++)
            CHECK(row[k] == row[0]);
        CHECK(row[0] < 64 && !(found >> row[0] & 1));
        found |= (uint64_t)1 << row[0];
        counts[row[0] % CLASSES]++;
    }
    for (uint32_t c = 0; c < CLASSES; c++)
        CHECK(r.class[c].kept == counts[c]);
    return found;
}

static int offer_survives(uint32_t number)
{
    if (setjmp(power))
        return 0;
    CHECK(offer(number) != OFFER_FAILED);
    return 1;
}

static void sampling(void)
{
    reservoir_facts got;
    CHECK(!reservoir_find(&area, &got));
    open_anew();
    CHECK(r.kept == 0 && reservoir_find(&area, &got) && memcmp(&got, &facts, sizeof got) == 0);
    for (uint32_t i = 0; i < 64; i++) {
        CHECK(offer(i) != OFFER_FAILED && r.kept == (i < KEPT ? i + 1 : KEPT) && r.seen <= i + 1);
        const uint64_t before = samples();
        open_anew();
        CHECK(samples() == before);
        for (uint32_t n = 0; n < 20; n++)
            CHECK(reservoir_draw(&r) < r.kept);
    }
    for (uint32_t c = 0; c < CLASSES; c++)
        CHECK(r.class[c].kept == KEPT / CLASSES);

    reservoir_area theirs = area; /* another plan in the same place finds nothing, and ends what was there */
    theirs.owner = other;
    CHECK(!reservoir_find(&theirs, &got));
    CHECK(reservoir_open(&r, &theirs, &facts, ram) && r.kept == 0);
    CHECK(reservoir_open(&r, &theirs, &facts, ram) && r.kept == 0);
    reservoir_facts fewer = {KEPT - 1, 7, CLASSES, 1}; /* and so do other facts */
    CHECK(offer(1) == OFFER_KEPT && reservoir_open(&r, &theirs, &fewer, ram) && r.kept == 0);
    CHECK(reservoir_find(&theirs, &got) && got.size == KEPT - 1);

    theirs.end = BEGIN + 2 * SECTOR - 1; /* no room: no whole sector for each bank */
    CHECK(reservoir_room(&theirs) == 0 && reservoir_room(&area) >= KEPT);
}

static int power_cuts(int how)
{
    static uint8_t before[SIZE];
    int cuts = 0;
    memset(flash, 0x5A, sizeof flash);
    cut_at = 0;
    open_anew();
    for (uint32_t i = 0; i < 60; i++) {
        open_anew();
        const uint64_t old = samples();
        memcpy(before, flash, sizeof flash);
        for (int at = 1;; at++) {
            memcpy(flash, before, sizeof flash);
            open_anew();
            srand((unsigned)at);
            operations = 0;
            cut_at = at;
            cut_how = how;
            const int survived = offer_survives(i);
            cut_at = 0;
            if (survived)
                break;
            cuts++;
            open_anew();
            const uint64_t now = samples(), gone = old & ~now, come = now & ~old;
            CHECK(now == old || (come == (uint64_t)1 << i && (gone & (gone - 1)) == 0));
            for (uint32_t more = 60; more < 64; more++) {
                CHECK(offer(more) != OFFER_FAILED);
                const uint64_t kept = samples();
                open_anew();
                CHECK(samples() == kept);
            }
        }
    }
    return cuts;
}

int main(void)
{
    int cuts = 0;
    memset(flash, 0xFF, sizeof flash);
    sampling();
    for (int how = 0; how < WAYS; how++)
        for (facts.seed = 0; facts.seed < 6; facts.seed++)
            cuts += power_cuts(how);
    printf("%d cuts\n", cuts);
    return 0;
}
