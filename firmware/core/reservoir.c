#include "reservoir.h"

#include <stddef.h>

#include "mem.h"
#include "ops/philox.h"
#include "pyedge.h"

/* Two banks hold records of one size, appended one after another. When one is full, the samples that count are written into
 * the other, behind them the record that begins it; until that is there the old bank counts. Sectors are erased as records
 * enter them, so a bank may end in records of its earlier lives, which have another sequence. */

enum { SAMPLE = 0x31534550 /* "PES1" */, BEGIN = 0x31424550 /* "PEB1" */, ALIGN = 64 };
enum { KEEP = 2, DRAW = 3 }; /* what random words are for, beside those of ops */
#define NO_PLACE UINT32_MAX

typedef struct sample_head {
    uint32_t magic, sequence;
    uint32_t number, class; /* of the sample, which takes the place of an earlier one of that number */
    uint32_t seen, full;    /* of its class, then */
    uint32_t all_seen;
    uint32_t crc; /* of the owner, all before it, and the row */
} sample_head;

typedef struct begin_head {
    uint32_t magic, sequence, row_bytes;
    reservoir_facts facts;
    uint8_t owner[RESERVOIR_SHA];
    uint32_t crc;
} begin_head;
_Static_assert(sizeof(sample_head) == 32 && sizeof(begin_head) <= ALIGN, "records");

static uint32_t record_bytes(const reservoir_area *a)
{
    return ((uint32_t)sizeof(sample_head) + a->row_bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static uint32_t bank_bytes(const reservoir_area *a)
{
    return (a->end - a->begin) / 2 / a->flash->sector_bytes * a->flash->sector_bytes;
}

static uint32_t bank_places(const reservoir_area *a)
{
    return bank_bytes(a) / record_bytes(a);
}

static uint32_t offset_of(const reservoir_area *a, uint32_t bank, uint32_t place)
{
    return a->begin + bank * bank_bytes(a) + place * record_bytes(a);
}

uint32_t reservoir_room(const reservoir_area *a)
{
    const uint32_t places = bank_places(a); /* one for the record that begins a bank, and one for the next sample */
    return places < 3 ? 0 : places - 2 < RESERVOIR_MOST ? places - 2 : RESERVOIR_MOST;
}

/* -- reading ----------------------------------------------------------------------------------------------------------- */

static bool read_begin(const reservoir_area *a, uint32_t offset, begin_head *h)
{
    memcpy(h, a->flash->base + offset, sizeof *h);
    return h->magic == BEGIN && h->crc == pe_crc32(0, h, offsetof(begin_head, crc)) && h->row_bytes == a->row_bytes &&
           memcmp(h->owner, a->owner, RESERVOIR_SHA) == 0 && h->facts.size > 0 && h->facts.size <= reservoir_room(a) &&
           h->facts.classes > 0 && h->facts.classes <= RESERVOIR_MOST;
}

static uint32_t head_crc(const reservoir_area *a, const sample_head *h)
{
    return pe_crc32(pe_crc32(0, a->owner, RESERVOIR_SHA), h, offsetof(sample_head, crc));
}

static bool read_sample(const reservoir_area *a, uint32_t offset, uint32_t sequence, sample_head *h)
{
    const uint8_t *p = a->flash->base + offset;
    memcpy(h, p, sizeof *h);
    return h->magic == SAMPLE && h->sequence == sequence &&
           h->crc == pe_crc32(head_crc(a, h), p + sizeof *h, a->row_bytes);
}

/* The newest record that begins a bank. */
static bool find_begin(const reservoir_area *a, uint32_t *bank, uint32_t *place, begin_head *newest)
{
    bool found = false;
    begin_head h;
    for (uint32_t b = 0; b < 2; b++) {
        for (uint32_t i = 0; i < bank_places(a); i++) {
            if (read_begin(a, offset_of(a, b, i), &h) && (!found || (int32_t)(h.sequence - newest->sequence) > 0)) {
                found = true;
                *bank = b;
                *place = i;
                *newest = h;
            }
        }
    }
    return found;
}

bool reservoir_find(const reservoir_area *a, reservoir_facts *facts)
{
    uint32_t bank, place;
    begin_head h;
    if (!find_begin(a, &bank, &place, &h))
        return false;
    *facts = h.facts;
    return true;
}

/* Takes over the samples of the bank. Gives the place behind the last record. */
static uint32_t read_bank(reservoir *r, uint32_t begin)
{
    uint32_t last = begin;
    sample_head h;
    for (uint32_t i = 0; i < bank_places(&r->area); i++) {
        if (!read_sample(&r->area, offset_of(&r->area, r->bank, i), r->sequence, &h) || h.number > r->kept ||
            h.number >= r->facts.size || h.class >= r->facts.classes)
            continue;
        reservoir_class *own = &r->class[h.class];
        if (h.number == r->kept) {
            r->kept++;
        } else {
            sample_head old;
            memcpy(&old, reservoir_row(r, h.number) - sizeof old, sizeof old);
            r->class[old.class].kept--;
        }
        own->kept++;
        own->seen = h.seen;
        own->full |= h.full;
        r->seen = h.all_seen;
        r->places[h.number] = i;
        last = i > last ? i : last;
    }
    return last + 1;
}

/* Behind the last place that anything was written to, be it a torn record. What lies in sectors that no record has entered
 * does not count: they are erased first. */
static uint32_t first_blank(const reservoir *r, uint32_t place)
{
    const reservoir_area *a = &r->area;
    const uint32_t sector = a->flash->sector_bytes, bytes = record_bytes(a);
    for (; place < bank_places(a); place++) {
        const uint32_t at = offset_of(a, r->bank, place), left = (sector - at % sector) % sector;
        const uint32_t n = left < bytes ? left : bytes;
        uint32_t blank = 0;
        while (blank < n && a->flash->base[at + blank] == 0xFF)
            blank++;
        if (blank == n)
            break;
    }
    return place;
}

/* -- writing ----------------------------------------------------------------------------------------------------------- */

static bool write_block(const reservoir_area *a, uint32_t at, const uint8_t *block)
{
    return !port_program(at, block, ALIGN) && memcmp(a->flash->base + at, block, ALIGN) == 0;
}

/* Writes a record block by block, the last one filled up. Through RAM: some flash can't be read while it is written. */
static bool write_record(const reservoir_area *a, uint32_t at, const reservoir_piece *pieces, uint32_t count)
{
    const uint32_t sector = a->flash->sector_bytes, end = at + record_bytes(a);
    for (uint32_t s = (at + sector - 1) / sector * sector; s < end; s += sector)
        if (port_erase(s))
            return false;
    uint8_t block[ALIGN];
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t done = 0; done < pieces[i].bytes; at += used / ALIGN * ALIGN, used %= ALIGN) {
            const uint32_t left = pieces[i].bytes - done, n = left < ALIGN - used ? left : ALIGN - used;
            memcpy(block + used, pieces[i].data + done, n);
            done += n;
            used += n;
            if (used == ALIGN && !write_block(a, at, block))
                return false;
        }
    }
    memset(block + used, 0xFF, ALIGN - used);
    return used == 0 || write_block(a, at, block);
}

/* Writes a sample into a place of a bank. Its class's counts are those of now. */
static bool write_sample(const reservoir *r, uint32_t bank, uint32_t place, uint32_t sequence, uint32_t number,
                         uint32_t class, const reservoir_piece *pieces, uint32_t count)
{
    reservoir_piece all[RESERVOIR_PIECES + 1];
    const reservoir_class *own = &r->class[class];
    sample_head h = {SAMPLE, sequence, number, class, own->seen, own->full, r->seen, 0};
    h.crc = head_crc(&r->area, &h);
    all[0] = (reservoir_piece){(const uint8_t *)&h, sizeof h};
    for (uint32_t i = 0; i < count; i++) {
        h.crc = pe_crc32(h.crc, pieces[i].data, pieces[i].bytes);
        all[i + 1] = pieces[i];
    }
    return write_record(&r->area, offset_of(&r->area, bank, place), all, count + 1);
}

/* Begins a bank behind the samples in it. */
static bool begin_bank(reservoir *r, uint32_t bank, uint32_t place, uint32_t sequence)
{
    begin_head h = {.magic = BEGIN, .sequence = sequence, .row_bytes = r->area.row_bytes, .facts = r->facts};
    memcpy(h.owner, r->area.owner, RESERVOIR_SHA);
    h.crc = pe_crc32(0, &h, offsetof(begin_head, crc));
    const reservoir_piece all = {(const uint8_t *)&h, sizeof h};
    if (!write_record(&r->area, offset_of(&r->area, bank, place), &all, 1))
        return false;
    r->bank = bank;
    r->sequence = sequence;
    r->next = place + 1;
    return true;
}

/* Writes the samples into the other bank, which from then on is the one that counts. */
static bool change_banks(reservoir *r)
{
    const uint32_t bank = 1 - r->bank, sequence = r->sequence + 1;
    for (uint32_t number = 0; number < r->kept; number++) {
        sample_head h;
        const reservoir_piece row = {reservoir_row(r, number), r->area.row_bytes};
        memcpy(&h, row.data - sizeof h, sizeof h);
        if (!write_sample(r, bank, number, sequence, number, h.class, &row, 1))
            return false;
    }
    if (!begin_bank(r, bank, r->kept, sequence))
        return false;
    for (uint32_t number = 0; number < r->kept; number++)
        r->places[number] = number;
    return true;
}

/* -- samples ----------------------------------------------------------------------------------------------------------- */

bool reservoir_open(reservoir *r, const reservoir_area *area, const reservoir_facts *facts, void *ram)
{
    memset(ram, 0, reservoir_bytes(facts));
    *r = (reservoir){.area = *area, .facts = *facts, .class = ram};
    r->places = (uint32_t *)(void *)(r->class + facts->classes);
    begin_head h;
    uint32_t bank = 1, place;
    const bool found = find_begin(area, &bank, &place, &h);
    if (!found || memcmp(&h.facts, facts, sizeof *facts) != 0)
        return begin_bank(r, 1 - bank, 0, found ? h.sequence + 1 : area->first);
    r->bank = bank;
    r->sequence = h.sequence;
    r->next = first_blank(r, read_bank(r, place));
    return true;
}

const uint8_t *reservoir_row(const reservoir *r, uint32_t number)
{
    return r->area.flash->base + offset_of(&r->area, r->bank, r->places[number]) + sizeof(sample_head);
}

static uint32_t class_of(const reservoir *r, uint32_t number)
{
    sample_head h;
    memcpy(&h, reservoir_row(r, number) - sizeof h, sizeof h);
    return h.class;
}

/* The number that a sample of a class gets while there is no room, or NO_PLACE. */
static uint32_t choose(reservoir *r, uint32_t class)
{
    uint32_t largest = 0, candidates = 0;
    for (uint32_t c = 0; c < r->facts.classes; c++)
        largest = r->class[c].kept > largest ? r->class[c].kept : largest;
    for (uint32_t c = 0; c < r->facts.classes; c++)
        if (r->class[c].kept == largest)
            r->class[c].full = 1;
    const reservoir_class *own = &r->class[class];
    const pe_philox random = pe_philox_words(r->facts.seed, 0, r->seen, 0, KEEP);
    if (own->full && (uint64_t)random.word[0] * own->seen >= (uint64_t)own->kept << 32)
        return NO_PLACE;
    for (uint32_t pass = 0;; pass++) { /* count those that it may replace, then find the one */
        uint32_t wanted = (uint32_t)((uint64_t)random.word[1] * candidates >> 32);
        for (uint32_t number = 0; number < r->kept; number++) {
            const uint32_t c = class_of(r, number);
            if (own->full ? c != class : r->class[c].kept != largest)
                continue;
            if (pass == 0)
                candidates++;
            else if (wanted-- == 0)
                return number;
        }
    }
}

offer_result reservoir_offer(reservoir *r, uint32_t class, const reservoir_piece *pieces, uint32_t count)
{
    r->class[class].seen++;
    r->seen++;
    const uint32_t number = r->kept < r->facts.size ? r->kept : choose(r, class);
    if (number == NO_PLACE)
        return OFFER_PASSED;
    if (r->next == bank_places(&r->area) && !change_banks(r))
        return OFFER_FAILED;
    const uint32_t place = r->next++; /* one that took a record badly is passed over */
    if (!write_sample(r, r->bank, place, r->sequence, number, class, pieces, count))
        return OFFER_FAILED;
    if (number == r->kept)
        r->kept++;
    else
        r->class[class_of(r, number)].kept--;
    r->class[class].kept++;
    r->places[number] = place;
    return OFFER_KEPT;
}

uint32_t reservoir_draw(reservoir *r)
{
    const pe_philox random = pe_philox_words(r->facts.seed, 0, r->drawn++, r->seen, DRAW);
    return (uint32_t)((uint64_t)random.word[0] * r->kept >> 32);
}
