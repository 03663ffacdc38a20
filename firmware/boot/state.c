#include "state.h"

#include "mem.h"
#include "pyedge.h"

#define MAGIC 0x31534250 /* "PBS1" */
#define NO_RECORD UINT32_MAX

typedef struct record {
    uint32_t magic, sequence, floor;
    uint8_t confirmed, next, tried, permanent;
    boot_upload upload;
    uint32_t crc;
} record;
_Static_assert(sizeof(record) == 64, "a journal record"); /* a multiple of every chip's write unit */

static bool is_slot(uint8_t slot)
{
    return slot < SLOTS || slot == SLOT_NONE;
}

static bool read_record(const port_slots *slots, uint32_t offset, record *r)
{
    memcpy(r, slots->flash.base + offset, sizeof *r);
    return r->magic == MAGIC && r->crc == pe_crc32(0, r, offsetof(record, crc)) && is_slot(r->confirmed) &&
           is_slot(r->next);
}

void state_read(boot_state *s, const port_slots *slots)
{
    *s = (boot_state){.confirmed = SLOT_NONE, .next = SLOT_NONE, .upload.slot = SLOT_NONE, .place = NO_RECORD};
    record r;
    for (uint32_t offset = 0; offset < 2 * slots->flash.sector_bytes; offset += sizeof r) {
        if (!read_record(slots, offset, &r) || (s->place != NO_RECORD && (int32_t)(r.sequence - s->sequence) < 0))
            continue;
        *s = (boot_state){r.confirmed, r.next, r.tried, r.permanent, r.floor, r.upload, r.sequence, offset};
    }
}

/* Behind the newest record and whatever else was written to its sector, be it torn; a full one gives way to the other. */
static uint32_t next_place(const boot_state *s, const port_slots *slots)
{
    if (s->place == NO_RECORD)
        return 0;
    const uint32_t sector = s->place - s->place % slots->flash.sector_bytes, end = sector + slots->flash.sector_bytes;
    uint32_t place = end;
    for (uint32_t i = end - 1; i >= s->place + sizeof(record) && slots->flash.base[i] == 0xFF; i--)
        place = i;
    place = (place + (uint32_t)sizeof(record) - 1) / sizeof(record) * sizeof(record);
    return place < end ? place : sector ? 0 : slots->flash.sector_bytes;
}

bool state_write(boot_state *s, const port_slots *slots)
{
    const uint32_t place = next_place(s, slots);
    record r = {MAGIC, s->sequence + 1, s->floor, s->confirmed, s->next, s->tried, s->permanent, s->upload, 0}, check;
    r.crc = pe_crc32(0, &r, offsetof(record, crc));
    if (place % slots->flash.sector_bytes == 0 && port_erase(slots->at + place))
        return false;
    if (port_program(slots->at + place, (const uint8_t *)&r, sizeof r) || !read_record(slots, place, &check) ||
        memcmp(&r, &check, sizeof r) != 0)
        return false;
    s->sequence = r.sequence;
    s->place = place;
    return true;
}
