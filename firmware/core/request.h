/* What comes with a request and what goes into its answer, apart from what the commands do. */
#ifndef REQUEST_H
#define REQUEST_H
#include "cbor.h"
#include "pyedge.h"

/* SMP's return codes, as far as they are used. */
enum {
    RC_UNKNOWN = 1,
    RC_MEMORY = 2,
    RC_VALUE = 3,
    RC_NOT_FOUND = 5,
    RC_STATE = 6,
    RC_SIZE = 7,
    RC_SUPPORT = 8,
    RC_CORRUPT = 9
};
enum { SHA_BYTES = 32 };

/* What a request carries. A key has one type in all commands, so that one table reads them; unknown keys are passed over. */
typedef struct request {
    uint32_t has; /* bit: row of FIELDS */
    uint32_t off, len, e, i, n, id, prof, crc, seed, classes, accumulate, confirm, data_bytes, sha_bytes;
    const uint8_t *data, *sha; /* sha: 32 bytes, of "sha" or "hash" */
} request;

/* Rows of the table, bits of has. */
enum {
    FIELD_TEXT,
    FIELD_OFF,
    FIELD_DATA,
    FIELD_LEN,
    FIELD_SHA,
    FIELD_ENTRY,
    FIELD_INDEX,
    FIELD_N,
    FIELD_ID,
    FIELD_PROF,
    FIELD_CRC,
    FIELD_SEED,
    FIELD_CLASSES,
    FIELD_ACCUMULATE,
    FIELD_HASH,
    FIELD_CONFIRM
};

/* Reads the body: one map and nothing behind it; none at all is an empty map. False: it makes no sense. */
bool read_request(request *q, const uint8_t *body, uint32_t n);

static inline bool has(const request *q, unsigned field)
{
    return q->has >> field & 1;
}

/* What goes wrong. err.status is PE_OK unless a plan was refused. */
typedef struct fault {
    uint32_t rc;
    const char *what;
    pe_error err;
} fault;

void fail(fault *f, uint32_t rc, const char *what);

/* own: in the words of group 70; else in SMP's. */
void put_fault(cbor_writer *w, const fault *f, bool own);

/* One pair of a map. */
void put_uint(cbor_writer *w, const char *key, uint64_t value);
void put_text(cbor_writer *w, const char *key, const char *value);
void put_bool(cbor_writer *w, const char *key, bool value);
void put_version(cbor_writer *w, const uint32_t *numbers, uint32_t n); /* with dots between */
void put_bytes(cbor_writer *w, const char *key, const void *data, uint32_t n);

/* An answer with n of the rest of some bytes from off on, or as many as there is room for, and their CRC-32. */
void put_chunk(cbor_writer *w, const uint8_t *data, uint32_t off, uint32_t n, uint32_t rest);
#endif
