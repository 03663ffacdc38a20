#include "images.h"

#include "boot/boot.h"
#include "mem.h"
#include "sha256.h"
#include "upload.h"

/* The upload with q's hash, if the journal says that it was begun: into the slot that does not run, as all are. */
static bool was_begun(const boot_state *s, const request *q)
{
    return s->upload.slot == 1 - port_running() && s->upload.done <= q->len &&
           memcmp(s->upload.sha, q->sha, SHA_BYTES) == 0;
}

bool is_firmware(const server *s, const request *q)
{
    boot_state state;
    if (q->off == 0 && q->data_bytes)
        return image_begins(q->data, q->data_bytes);
    if (!has(q, FIELD_SHA))
        return s->upload.target == UPLOAD_FIRMWARE;
    state_read(&state, port_firmware());
    return was_begun(&state, q);
}

static image_fault check(image *i, int slot)
{
    boot_state s;
    state_read(&s, port_firmware());
    return slot_check(i, port_firmware(), slot, boot_key(), s.floor);
}

/* While an update is on trial, the other slot holds what the board goes back to. */
static bool on_trial(fault *f)
{
    boot_state s;
    state_read(&s, port_firmware());
    if (s.confirmed == port_running())
        return false;
    fail(f, RC_STATE, "the firmware that runs has not been confirmed");
    return true;
}

/* How much of the upload may be in the slot: behind what is certain, up to the last unit of that sector that isn't blank. The
 * write that a power cut broke off can be the last one, so only the host's CRC can tell. */
static uint32_t may_hold(const upload *u, const port_store *flash, const uint8_t *slot)
{
    uint32_t end = u->off + flash->sector_bytes;
    end = end < u->bytes ? end : u->bytes;
    while (end > u->off && slot[end - 1] == 0xFF)
        end--;
    return end - end % flash->write_bytes;
}

bool begin_firmware(server *s, const request *q, fault *f)
{
    const port_slots *slots = port_firmware();
    upload *u = &s->upload;
    u->slot = (int8_t)(1 - port_running());
    s->firmware = (store){.flash = &slots->flash, .at = slots->at};
    if (on_trial(f))
        return false;
    if (q->len > slots->flash.slot_bytes) {
        fail(f, RC_MEMORY, "the firmware does not fit into a slot");
        return false;
    }
    const uint8_t *there = slot_data(slots, u->slot);
    uint8_t sha[SHA_BYTES];
    image i;
    sha256(there, q->len, sha);
    if (memcmp(sha, q->sha, sizeof sha) == 0 && check(&i, u->slot) == IMAGE_GOOD && i.bytes == q->len) {
        u->off = q->len;
        u->good = true;
        return true;
    }
    boot_state state;
    state_read(&state, slots);
    const bool begun = was_begun(&state, q);
    if (!begun) {
        state.upload = (boot_upload){.slot = (uint8_t)u->slot};
        memcpy(state.upload.sha, q->sha, SHA_BYTES);
    }
    if (!boot_receive(slots, &state.upload)) {
        fail(f, RC_UNKNOWN, "the journal failed");
        return false;
    }
    u->off = state.upload.done;
    const uint32_t held = begun ? may_hold(u, &slots->flash, there) : 0;
    if (q->off == 0) {
        u->held = held > u->off ? held : 0;
    } else if (q->off > u->off && q->off <= q->len && q->data_bytes <= q->len - q->off) {
        const uint32_t off = store_resume(&s->firmware, u->slot, q->off, q->crc, q->data, q->data_bytes);
        u->off = off ? off : u->off;
    }
    return true;
}

void note_firmware(const server *s, uint32_t before)
{
    const port_slots *slots = port_firmware();
    const uint32_t whole = s->upload.off / slots->flash.sector_bytes * slots->flash.sector_bytes;
    if (whole <= before)
        return;
    boot_state state;
    state_read(&state, slots);
    state.upload.done = whole;
    (void)boot_receive(slots, &state.upload); /* if it fails, less is known after a reset */
}

void forget_firmware(void)
{
    (void)boot_receive(port_firmware(), &(boot_upload){.slot = SLOT_NONE});
}

bool accept_firmware(server *s, fault *f)
{
    image i;
    image_fault fault = check(&i, s->upload.slot);
    if (fault == IMAGE_GOOD && i.bytes != s->upload.bytes)
        fault = IMAGE_DAMAGED;
    if (fault != IMAGE_GOOD)
        fail(f, RC_CORRUPT, image_fault_text(fault));
    return fault == IMAGE_GOOD;
}

uint32_t count_firmware(void)
{
    image i;
    uint32_t n = 0;
    for (int slot = 0; slot < SLOTS; slot++)
        n += check(&i, slot) == IMAGE_GOOD;
    return n;
}

void put_firmware(cbor_writer *w)
{
    boot_state s;
    image i;
    state_read(&s, port_firmware());
    for (int slot = 0; slot < SLOTS; slot++) {
        if (check(&i, slot) != IMAGE_GOOD)
            continue;
        const bool next = slot == s.next && !s.tried;
        cbor_map(w, 9);
        put_uint(w, "image", FIRMWARE_IMAGE);
        put_uint(w, "slot", (uint32_t)slot);
        put_version(w, (const uint32_t[]){i.major, i.minor, i.revision, i.build}, i.build ? 4 : 3);
        put_bytes(w, "hash", i.hash, IMAGE_HASH);
        put_bool(w, "bootable", true);
        put_bool(w, "active", slot == port_running());
        put_bool(w, "confirmed", slot == s.confirmed);
        put_bool(w, "pending", next);
        put_bool(w, "permanent", next && s.permanent);
    }
}

bool set_state(const request *q, fault *f)
{
    const port_slots *slots = port_firmware();
    const int running = port_running(), other = 1 - running;
    image i;
    if (!has(q, FIELD_HASH) || (check(&i, running) == IMAGE_GOOD && !memcmp(i.hash, q->sha, IMAGE_HASH))) {
        if (!q->confirm)
            fail(f, RC_VALUE, "this firmware runs already");
        else if (!boot_confirm(slots, running))
            fail(f, RC_UNKNOWN, "the journal failed");
    } else if (check(&i, other) != IMAGE_GOOD || memcmp(i.hash, q->sha, IMAGE_HASH)) {
        fail(f, RC_NOT_FOUND, "no firmware with this hash");
    } else if (!on_trial(f) && !boot_try(slots, other, q->confirm)) {
        fail(f, RC_UNKNOWN, "the journal failed");
    }
    return f->rc == 0;
}
