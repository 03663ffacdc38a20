/* The plan in flash: two slots, and a journal of two sectors that names the active one (docs/link.md, "Journal and slots").
 * Whatever a power cut leaves of the last erase or program, one whole plan stays active, the old or the new. */
#ifndef STORE_H
#define STORE_H
#include <stdbool.h>
#include <stdint.h>

#include "port.h"

enum { STORE_NONE = -1, STORE_SLOTS = 2 };

typedef struct store {
    const port_store *flash;
    uint32_t at;                  /* flash->base, as an offset of port_erase and port_program */
    uint32_t sequence;            /* of the newest record */
    uint32_t next;                /* offset of the next record's place */
    uint32_t record[STORE_SLOTS]; /* offset of the record that a slot's content matches, or UINT32_MAX */
    int8_t active;                /* slot, or STORE_NONE */
    bool fresh;                   /* the next record's sector has to be erased first */
} store;

void store_open(store *s,
                const port_store *flash); /* reads the journal and hashes the slots: time grows with the plans */

/* A slot's plan; NULL if it holds none. *sha: its 32 bytes. */
const uint8_t *store_plan(const store *s, int slot, uint32_t *bytes, const uint8_t **sha);

/* The slot that an upload of this many bytes goes into; what it held is given up. STORE_NONE: too long, or read-only. */
int store_begin(store *s, uint32_t bytes);

/* Where an upload into the slot that store_begin() gave goes on after a reset: off or behind it, if the slot holds off bytes
 * with this CRC-32, behind them at most data, and then nothing; else 0. off + n lies in the slot. */
uint32_t store_resume(const store *s, int slot, uint32_t off, uint32_t crc, const uint8_t *data, uint32_t n);

/* Programs data at off of the slot; sectors are erased as it enters them. offs come in ascending order without gaps. Returns
 * how many bytes were taken: whole write units, and the rest only if last; negative: the flash failed. */
int32_t store_write(store *s, int slot, uint32_t off, const uint8_t *data, uint32_t n, bool last);

const uint8_t *store_slot(const store *s, int slot);

/* Makes the slot active by one record. The caller has checked that its content has this hash. False: the flash failed. */
bool store_commit(store *s, int slot, uint32_t bytes, const uint8_t sha[32]);

/* States that a slot's plan has learned. Two copies take turns at the end of the slot; a record names the one that counts, and
 * is written last, as for a plan. */
typedef enum keep_result { KEEP_DONE, KEEP_READ_ONLY, KEEP_NO_ROOM, KEEP_FAILED } keep_result;
keep_result store_keep(store *s, int slot, const uint8_t *states, uint32_t bytes); /* of the active slot */
const uint8_t *store_states(const store *s, int slot, uint32_t bytes);             /* NULL: none are kept */
#endif
