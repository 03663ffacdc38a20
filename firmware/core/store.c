#include "store.h"

#include "mem.h"
#include "pyedge.h"
#include "sha256.h"

enum { MAGIC = 0x314A4550 /* "PEJ1" */, MAX_WRITE = 64 };
#define NO_RECORD UINT32_MAX

typedef struct record {
    uint32_t magic, sequence, slot, length;
    uint8_t sha[32];
    uint8_t reserved[12];
    uint32_t crc;
} record;
_Static_assert(sizeof(record) == 64, "a journal record");

static bool read_record(const store *s, uint32_t offset, record *r)
{
    memcpy(r, s->flash->base + offset, sizeof *r);
    return r->magic == MAGIC && r->crc == pe_crc32(0, r, offsetof(record, crc)) && r->slot < STORE_SLOTS &&
           r->length > 0 && r->length <= s->flash->slot_bytes;
}

static bool is_blank(const uint8_t *p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (p[i] != 0xFF)
            return false;
    return true;
}

const uint8_t *store_slot(const store *s, int slot)
{
    return s->flash->base + 2 * s->flash->sector_bytes + (uint32_t)slot * s->flash->slot_bytes;
}

/* The newest record of each slot counts, if the slot's content has its hash. Older ones of the same slot describe what has
 * been overwritten since. So two hashes are the most that opening costs, however damaged the journal is. */
void store_open(store *s, const port_store *flash)
{
    *s = (store){.flash = flash, .record = {NO_RECORD, NO_RECORD}, .active = STORE_NONE, .fresh = true};
    if (!flash)
        return;
    record r;
    uint32_t newest = NO_RECORD, sequence[STORE_SLOTS] = {0, 0};
    for (uint32_t offset = 0; offset < 2 * flash->sector_bytes; offset += sizeof r) {
        if (!read_record(s, offset, &r))
            continue;
        if (newest == NO_RECORD || (int32_t)(r.sequence - s->sequence) > 0) {
            newest = offset;
            s->sequence = r.sequence;
        }
        if (s->record[r.slot] == NO_RECORD || (int32_t)(r.sequence - sequence[r.slot]) > 0) {
            s->record[r.slot] = offset;
            sequence[r.slot] = r.sequence;
        }
    }
    for (int slot = 0; slot < STORE_SLOTS; slot++) {
        if (s->record[slot] == NO_RECORD)
            continue;
        uint8_t sha[32];
        read_record(s, s->record[slot], &r);
        sha256(store_slot(s, slot), r.length, sha);
        if (memcmp(sha, r.sha, sizeof sha) != 0)
            s->record[slot] = NO_RECORD;
        else if (s->active == STORE_NONE || (int32_t)(sequence[slot] - sequence[s->active]) > 0)
            s->active = (int8_t)slot;
    }
    if (newest == NO_RECORD)
        return; /* next 0, fresh: sector 0 is erased before its first record, whatever lies there */

    /* Behind the last place of the newest record's sector that anything was written to, be it a torn record. */
    uint32_t sector = newest - newest % flash->sector_bytes, end = sector + flash->sector_bytes;
    s->next = end;
    while (s->next > newest + sizeof r && is_blank(flash->base + s->next - sizeof r, sizeof r))
        s->next -= sizeof r;
    s->fresh = s->next == end;
    if (s->fresh)
        s->next = sector ? 0 : flash->sector_bytes;
}

const uint8_t *store_plan(const store *s, int slot, uint32_t *bytes, const uint8_t **sha)
{
    if (slot < 0 || s->record[slot] == NO_RECORD)
        return NULL;
    const uint8_t *r = s->flash->base + s->record[slot];
    memcpy(bytes, r + offsetof(record, length), sizeof *bytes);
    *sha = r + offsetof(record, sha);
    return store_slot(s, slot);
}

int store_begin(store *s, uint32_t bytes)
{
    if (!s->flash || !s->flash->write_bytes || bytes > s->flash->slot_bytes)
        return STORE_NONE;
    int slot = s->active == 0;
    s->record[slot] = NO_RECORD;
    return slot;
}

int32_t store_write(store *s, int slot, uint32_t off, const uint8_t *data, uint32_t n, bool last)
{
    const port_store *flash = s->flash;
    uint32_t at = (uint32_t)(store_slot(s, slot) - flash->base) + off, unit = flash->write_bytes;
    uint32_t whole = n - n % unit, rest = last ? n - whole : 0;
    for (uint32_t sector = at + (flash->sector_bytes - at % flash->sector_bytes) % flash->sector_bytes;
         sector < at + whole + rest; sector += flash->sector_bytes)
        if (port_erase(sector))
            return -1;
    if (whole && port_program(at, data, whole))
        return -1;
    if (rest) {
        uint8_t tail[MAX_WRITE];
        memset(tail, 0xFF, sizeof tail);
        memcpy(tail, data + whole, rest);
        if (port_program(at + whole, tail, unit))
            return -1;
    }
    return (int32_t)(whole + rest);
}

bool store_commit(store *s, int slot, uint32_t bytes, const uint8_t sha[32])
{
    uint32_t sector_bytes = s->flash->sector_bytes, at = s->next;
    record r = {.magic = MAGIC, .sequence = s->sequence + 1, .slot = (uint32_t)slot, .length = bytes}, check;
    memcpy(r.sha, sha, sizeof r.sha);
    memset(r.reserved, 0xFF, sizeof r.reserved);
    r.crc = pe_crc32(0, &r, offsetof(record, crc));
    if (s->fresh && port_erase(at))
        return false;
    bool good =
        !port_program(at, (const uint8_t *)&r, sizeof r) && read_record(s, at, &check) && !memcmp(&r, &check, sizeof r);

    /* A place that took the record badly is passed over by the next. */
    s->next = at + (uint32_t)sizeof r;
    s->fresh = s->next % sector_bytes == 0;
    if (s->fresh)
        s->next %= 2 * sector_bytes;
    if (!good)
        return false;
    s->sequence++;
    s->record[slot] = at;
    s->active = (int8_t)slot;
    return true;
}
