/* Which slot runs at the next boot: a journal of two flash sectors, in each record the whole of it. Whatever a power cut leaves
 * of the last record, the state is the one before or the new one. */
#ifndef STATE_H
#define STATE_H
#include <stdbool.h>
#include <stdint.h>

#include "port.h"

enum { SLOT_NONE = 255, SLOTS = 2 };

/* The upload that was begun last. */
typedef struct boot_upload {
    uint8_t sha[32]; /* of all that is to come */
    uint32_t done;   /* so many bytes of it are in the slot for certain: whole sectors */
    uint8_t slot;    /* that it goes into, SLOT_NONE: there is none */
    uint8_t unused[7];
} boot_upload;

typedef struct boot_state {
    uint8_t confirmed; /* slot that runs, SLOT_NONE on a new board */
    uint8_t next;      /* slot to run instead at the next boot, or SLOT_NONE */
    bool tried;        /* next has been started, and not been confirmed yet */
    bool permanent;    /* next is confirmed as soon as it is started */
    uint32_t floor;    /* images with a lower security counter don't run */
    boot_upload upload;

    /* Of the journal: */
    uint32_t sequence, place; /* of the newest record; its offset, or UINT32_MAX */
} boot_state;

void state_read(boot_state *s, const port_slots *slots);
bool state_write(boot_state *s, const port_slots *slots); /* as the newest. False: the flash failed */
#endif
