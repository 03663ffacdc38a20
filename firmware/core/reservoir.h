/* Samples kept in flash, to learn from again: a bounded set, balanced over classes (docs/link.md, "Reservoir").
 * Class-balancing reservoir sampling, algorithm 1 of Chrysakis and Moens, "Online Continual Learning from Imbalanced Data",
 * ICML 2020; pyedge/tune/replay.py chooses the same. Whatever a power cut leaves of the last erase or program, all samples
 * that were kept before are there, and the one being kept is there whole or not at all. */
#ifndef RESERVOIR_H
#define RESERVOIR_H
#include <stdbool.h>
#include <stdint.h>

#include "port.h"

/* What stays as it is as long as there is a reservoir. */
typedef struct reservoir_facts {
    uint32_t size;       /* samples kept at most, 1 .. RESERVOIR_MOST */
    uint32_t seed;       /* of which ones */
    uint32_t classes;    /* 1 .. RESERVOIR_MOST */
    uint32_t accumulate; /* of whoever learns: batches of a step */
} reservoir_facts;

enum { RESERVOIR_MOST = 1 << 16, RESERVOIR_SHA = 8, RESERVOIR_PIECES = 16 };

/* Where it lies, and whose it is. */
typedef struct reservoir_area {
    const port_store *flash;
    uint32_t begin, end;  /* offsets of the store, of whole sectors */
    uint32_t row_bytes;   /* of a sample */
    const uint8_t *owner; /* RESERVOIR_SHA bytes: samples of another are none */
    uint32_t first;       /* number of the first bank, if there is none yet: another one than in earlier lives */
} reservoir_area;

typedef struct reservoir_class {
    uint32_t seen, kept;
    uint32_t full; /* not 0: it was a largest class when there was no room */
} reservoir_class;

typedef struct reservoir {
    reservoir_area area;
    reservoir_facts facts;
    uint32_t bank, sequence; /* the bank that counts; its number grows from bank to bank */
    uint32_t next;           /* the place of its next record */
    uint32_t kept, seen;     /* samples; seen: all that were offered */
    uint32_t drawn;
    uint32_t *places;       /* of each sample, the place of its record */
    reservoir_class *class; /* of facts.classes */
} reservoir;

typedef struct reservoir_piece {
    const uint8_t *data;
    uint32_t bytes;
} reservoir_piece;

/* The facts of the reservoir that the area holds. False: none. */
bool reservoir_find(const reservoir_area *area, reservoir_facts *facts);

uint32_t reservoir_room(const reservoir_area *area); /* samples that the area can keep */

/* Of RAM, on a multiple of 4. */
static inline uint32_t reservoir_bytes(const reservoir_facts *f)
{
    return f->size * (uint32_t)sizeof(uint32_t) + f->classes * (uint32_t)sizeof(reservoir_class);
}

/* Goes on with what the area holds, if it has these facts, else begins anew. False: the flash failed. */
bool reservoir_open(reservoir *r, const reservoir_area *area, const reservoir_facts *facts, void *ram);

typedef enum offer_result { OFFER_KEPT, OFFER_PASSED, OFFER_FAILED } offer_result;

/* Offers a sample of a class below facts.classes: at most RESERVOIR_PIECES pieces that
 * together have row_bytes, in RAM or in flash. */
offer_result reservoir_offer(reservoir *r, uint32_t class, const reservoir_piece *pieces, uint32_t count);

uint32_t reservoir_draw(reservoir *r);                             /* number of one of the kept > 0, at random */
const uint8_t *reservoir_row(const reservoir *r, uint32_t number); /* number < kept */
#endif
