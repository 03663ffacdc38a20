#include "boot.h"

#include "mem.h"

const uint8_t *boot_key(void)
{
#ifdef PYEDGE_KEY
    static const uint8_t key[IMAGE_KEY] = {PYEDGE_KEY};
    return key;
#else
    return NULL;
#endif
}

const uint8_t *slot_data(const port_slots *slots, int slot)
{
    return slots->flash.base + 2 * slots->flash.sector_bytes + (uint32_t)slot * slots->flash.slot_bytes;
}

image_fault slot_check(image *i, const port_slots *slots, int slot, const uint8_t *key, uint32_t floor)
{
    const uint8_t *data = slot_data(slots, slot);
    image_fault fault = image_check(i, data, slots->flash.slot_bytes, key, floor);
    if (fault == IMAGE_GOOD && i->address && i->address != (uint32_t)(uintptr_t)data)
        return IMAGE_ADDRESS;
    return fault;
}

/* Makes the slot the confirmed one, and its security counter the lowest that runs from now on. */
static bool confirm(boot_state *s, const port_slots *slots, int slot, const image *i)
{
    s->confirmed = (uint8_t)slot;
    s->next = SLOT_NONE;
    s->tried = s->permanent = false;
    s->floor = i->counter > s->floor ? i->counter : s->floor;
    return state_write(s, slots);
}

int boot_choose(image *i, const port_slots *slots, const uint8_t *key)
{
    boot_state s;
    state_read(&s, slots);
    if (s.next != SLOT_NONE) {
        const int next = s.next;
        if (!s.tried && slot_check(i, slots, next, key, s.floor) == IMAGE_GOOD) {
            s.tried = true;
            if (s.permanent ? confirm(&s, slots, next, i) : state_write(&s, slots))
                return next;
        }
        state_read(&s, slots); /* tried before, or not to be run: what was confirmed goes on */
        s.next = SLOT_NONE;
        s.tried = s.permanent = false;
        (void)state_write(&s, slots); /* if it fails, it is decided the same way again */
    }
    if (s.confirmed != SLOT_NONE && slot_check(i, slots, s.confirmed, key, s.floor) == IMAGE_GOOD)
        return s.confirmed;
    for (int slot = 0; slot < SLOTS; slot++) { /* a new board, or the confirmed image has rotted */
        if (slot != s.confirmed && slot_check(i, slots, slot, key, s.floor) == IMAGE_GOOD) {
            (void)confirm(&s, slots, slot, i);
            return slot;
        }
    }
    return -1;
}

bool boot_try(const port_slots *slots, int slot, bool permanent)
{
    boot_state s;
    state_read(&s, slots);
    if (s.next == slot && !s.tried && s.permanent == permanent)
        return true;
    s.next = (uint8_t)slot;
    s.tried = false;
    s.permanent = permanent;
    return state_write(&s, slots);
}

bool boot_receive(const port_slots *slots, const boot_upload *upload)
{
    boot_state s;
    state_read(&s, slots);
    if (s.next == SLOT_NONE && memcmp(&s.upload, upload, sizeof *upload) == 0)
        return true;
    s.next = SLOT_NONE;
    s.tried = s.permanent = false;
    s.upload = *upload;
    return state_write(&s, slots);
}

bool boot_confirm(const port_slots *slots, int running)
{
    boot_state s;
    image i;
    state_read(&s, slots);
    if (s.confirmed == running && s.next == SLOT_NONE)
        return true;
    return slot_check(&i, slots, running, NULL, 0) == IMAGE_GOOD && confirm(&s, slots, running, &i);
}
