#include "store.h"

#include "mem.h"
#include "pyedge.h"
#include "sha256.h"

enum { MAGIC = 0x314A4550 /* "PEJ1" */, MAX_WRITE = 64 };
#define NO_RECORD UINT32_MAX
#define NOT_KEPT UINT32_MAX

typedef struct record {
    uint32_t magic, sequence, slot, length;
    uint8_t sha[32];
    uint32_t kept;       /* number of the copy of states, or NOT_KEPT */
    uint8_t kept_sha[8]; /* begin of its SHA-256; 0xFF without */
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
    const uint32_t journal = 2 * flash->sector_bytes;
    uint32_t newest = NO_RECORD, sequence[STORE_SLOTS] = {0, 0};
    for (uint32_t offset = 0; offset < journal; offset += sizeof r) {
        if (read_record(s, offset, &r) && (newest == NO_RECORD || (int32_t)(r.sequence - s->sequence) > 0)) {
            newest = offset;
            s->sequence = r.sequence;
        }
    }
    if (newest == NO_RECORD)
        return; /* next 0, fresh: sector 0 is erased before its first record, whatever lies there */
    const uint32_t sector = newest - newest % flash->sector_bytes, end = sector + flash->sector_bytes;
    for (uint32_t i = 0; i < journal;
         i += sizeof r) { /* its sector first: of a record that went along, the copy there counts */
        const uint32_t offset = (sector + i) % journal;
        if (read_record(s, offset, &r) &&
            (s->record[r.slot] == NO_RECORD || (int32_t)(r.sequence - sequence[r.slot]) > 0)) {
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

    /* Behind the last place of the newest record's sector that anything was written to, be it a torn record. */
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

/* Writes a record as it is. */
static bool write_record(store *s, const record *r)
{
    const uint32_t at = s->next;
    record check;
    if (s->fresh) {
        for (int slot = 0; slot < STORE_SLOTS; slot++)
            if (s->record[slot] != NO_RECORD && s->record[slot] / s->flash->sector_bytes == at / s->flash->sector_bytes)
                s->record[slot] = NO_RECORD;
        if (port_erase(s->at + at))
            return false;
    }
    const bool good = !port_program(s->at + at, (const uint8_t *)r, sizeof *r) && read_record(s, at, &check) &&
                      !memcmp(r, &check, sizeof check);

    /* A place that took the record badly is passed over by the next. */
    s->next = at + (uint32_t)sizeof *r;
    s->fresh = s->next % s->flash->sector_bytes == 0;
    if (s->fresh)
        s->next %= 2 * s->flash->sector_bytes;
    if (good)
        s->record[r->slot] = at;
    return good;
}

/* Makes a record the newest, and its slot the active one. The other slot's record goes along into a new sector, before its own
 * is erased, so that there is a slot to fall back to. It keeps its sequence, and so stays the older one. */
static bool append(store *s, record *r)
{
    const uint32_t other = r->slot == 0, sector = s->next / s->flash->sector_bytes;
    record along;
    const bool goes = s->record[other] != NO_RECORD && read_record(s, s->record[other], &along) &&
                      (s->fresh || s->record[other] / s->flash->sector_bytes != sector);
    r->sequence = s->sequence + 1;
    r->crc = pe_crc32(0, r, offsetof(record, crc));
    if (!write_record(s, r))
        return false;
    s->sequence++;
    s->active = (int8_t)r->slot;
    if (goes && !s->fresh)
        (void)write_record(s, &along); /* if it fails, the next record takes it along */
    return true;
}

/* Copies of states stand at the end of their plan's slot, each in sectors of its own. 0: there is no room for two. */
static uint32_t copy_offset(const store *s, uint32_t plan_bytes, uint32_t bytes, uint32_t copy)
{
    const uint32_t sector = s->flash->sector_bytes, slot = s->flash->slot_bytes;
    const uint64_t plan = (plan_bytes + (uint64_t)sector - 1) / sector * sector;
    const uint64_t place = (bytes + (uint64_t)sector - 1) / sector * sector;
    return plan + 2 * place <= slot ? slot - (uint32_t)place * (2 - copy) : 0;
}

const uint8_t *store_states(const store *s, int slot, uint32_t bytes)
{
    record r;
    if (slot < 0 || s->record[slot] == NO_RECORD || !read_record(s, s->record[slot], &r) || r.kept > 1)
        return NULL;
    const uint32_t offset = copy_offset(s, r.length, bytes, r.kept);
    if (!offset)
        return NULL;
    const uint8_t *states = store_slot(s, slot) + offset;
    uint8_t sha[32];
    sha256(states, bytes, sha);
    return memcmp(sha, r.kept_sha, sizeof r.kept_sha) == 0 ? states : NULL;
}

keep_result store_keep(store *s, int slot, const uint8_t *states, uint32_t bytes)
{
    record r;
    if (!s->flash->write_bytes || s->record[slot] == NO_RECORD || !read_record(s, s->record[slot], &r))
        return KEEP_READ_ONLY;
    const uint8_t *kept = store_states(s, slot, bytes);
    if (kept && memcmp(kept, states, bytes) == 0)
        return KEEP_DONE; /* asked again */
    const uint32_t copy = r.kept == 0, offset = copy_offset(s, r.length, bytes, copy);
    if (!offset)
        return KEEP_NO_ROOM;
    if (store_write(s, slot, offset, states, bytes, true) < 0 || memcmp(store_slot(s, slot) + offset, states, bytes))
        return KEEP_FAILED;
    uint8_t sha[32];
    sha256(states, bytes, sha);
    r.kept = copy;
    memcpy(r.kept_sha, sha, sizeof r.kept_sha);
    return append(s, &r) ? KEEP_DONE : KEEP_FAILED;
}

int store_begin(store *s, uint32_t bytes)
{
    if (!s->flash || !s->flash->write_bytes || bytes > s->flash->slot_bytes)
        return STORE_NONE;
    int slot = s->active == 0;
    s->record[slot] = NO_RECORD;
    return slot;
}

uint32_t store_resume(const store *s, int slot, uint32_t off, uint32_t crc, const uint8_t *data, uint32_t n)
{
    const uint32_t sector = s->flash->sector_bytes, unit = s->flash->write_bytes;
    const uint8_t *p = store_slot(s, slot);
    if (off % unit || pe_crc32(0, p, off) != crc)
        return 0;
    /* What came after off may have been written before the reset. Nothing is programmed twice: behind it, its sector is blank. */
    for (uint32_t at = 0;; at += unit) {
        const uint32_t to = off + at, left = at < n ? n - at : 0, same = left < unit ? left : unit;
        if (to % sector == 0 || is_blank(p + to, sector - to % sector))
            return left ? to : off + n;
        if (same == 0 || memcmp(p + to, data + at, same) != 0)
            return 0;
    }
}

int32_t store_write(store *s, int slot, uint32_t off, const uint8_t *data, uint32_t n, bool last)
{
    const port_store *flash = s->flash;
    uint32_t at = (uint32_t)(store_slot(s, slot) - flash->base) + off, unit = flash->write_bytes;
    uint32_t whole = n - n % unit, rest = last ? n - whole : 0;
    for (uint32_t sector = at + (flash->sector_bytes - at % flash->sector_bytes) % flash->sector_bytes;
         sector < at + whole + rest; sector += flash->sector_bytes)
        if (port_erase(s->at + sector))
            return -1;
    if (whole && port_program(s->at + at, data, whole))
        return -1;
    if (rest) {
        uint8_t tail[MAX_WRITE];
        memset(tail, 0xFF, sizeof tail);
        memcpy(tail, data + whole, rest);
        if (port_program(s->at + at + whole, tail, unit))
            return -1;
    }
    return (int32_t)(whole + rest);
}

bool store_commit(store *s, int slot, uint32_t bytes, const uint8_t sha[32])
{
    record r = {.magic = MAGIC, .slot = (uint32_t)slot, .length = bytes, .kept = NOT_KEPT};
    memcpy(r.sha, sha, sizeof r.sha);
    memset(r.kept_sha, 0xFF, sizeof r.kept_sha);
    return append(s, &r);
}
