/* CBOR (RFC 8949), the subset of docs/link.md: one map, definite lengths, text keys; unsigned and negative integers, bytes,
 * text, bool, arrays and maps. Reads and writes stay inside the bytes given. */
#ifndef CBOR_H
#define CBOR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CBOR_UINT = 0, CBOR_NEGATIVE = 1, CBOR_BYTES = 2, CBOR_TEXT = 3, CBOR_ARRAY = 4, CBOR_MAP = 5, CBOR_BOOL = 7 };

typedef struct cbor_item {
    uint8_t type;
    uint32_t value;      /* UINT: the number; BOOL: 0 or 1; BYTES, TEXT: bytes at data; ARRAY, MAP: elements */
    const uint8_t *data; /* BYTES, TEXT */
} cbor_item;

typedef struct cbor_reader {
    const uint8_t *p, *end;
} cbor_reader;

/* Reads the head of one item, and the content of bytes and text. False: damaged, unsupported, or a number of over 32 bits. */
bool cbor_next(cbor_reader *r, cbor_item *item);

/* Passes over the elements of an item that cbor_next has just read; only arrays and maps have any. */
bool cbor_skip(cbor_reader *r, const cbor_item *item);

typedef struct cbor_writer {
    uint8_t *p, *end;
    bool full; /* something did not fit; from then on nothing is written */
} cbor_writer;

void cbor_uint(cbor_writer *w, uint64_t value);
void cbor_int(cbor_writer *w, int32_t value);
void cbor_bool(cbor_writer *w, bool value);
void cbor_bytes(cbor_writer *w, const void *data, uint32_t n);
uint8_t *cbor_reserve(cbor_writer *w,
                      uint32_t n); /* as cbor_bytes, for the caller to fill in; NULL if it did not fit */
void cbor_text(cbor_writer *w, const char *text);
void cbor_text_n(cbor_writer *w, const void *text, uint32_t n);
void cbor_array(cbor_writer *w, uint32_t elements);
void cbor_map(cbor_writer *w, uint32_t pairs);
#endif
