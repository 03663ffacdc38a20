#include "cbor.h"

#include "mem.h"

bool cbor_next(cbor_reader *r, cbor_item *item)
{
    if (r->p == r->end)
        return false;
    uint8_t type = *r->p >> 5, info = *r->p & 31;
    r->p++;
    item->data = NULL;
    if (type == 7) { /* of the simple values and floats only false and true */
        item->type = CBOR_BOOL;
        item->value = info == 21;
        return info == 20 || info == 21;
    }
    uint32_t value = info;
    if (info >= 24) {
        if (info > 26) /* 27: 64 bits; 28..30 reserved; 31 indefinite */
            return false;
        uint32_t bytes = 1u << (info - 24);
        if ((size_t)(r->end - r->p) < bytes)
            return false;
        for (value = 0; bytes; bytes--)
            value = value << 8 | *r->p++;
    }
    item->type = type;
    item->value = value;
    if (type == CBOR_BYTES || type == CBOR_TEXT) {
        if ((size_t)(r->end - r->p) < value)
            return false;
        item->data = r->p;
        r->p += value;
    }
    return type <= CBOR_MAP; /* no tags */
}

/* Adds the elements of an array or map to *left. Each takes a byte at least, so no honest count exceeds the bytes that
 * remain, and nothing overflows. */
static bool add_elements(const cbor_reader *r, const cbor_item *item, size_t *left)
{
    size_t remaining = (size_t)(r->end - r->p);
    if (item->type == CBOR_ARRAY || item->type == CBOR_MAP) {
        if (item->value > remaining)
            return false;
        *left += item->type == CBOR_MAP ? 2 * (size_t)item->value : item->value;
    }
    return *left <= remaining;
}

bool cbor_skip(cbor_reader *r, const cbor_item *item)
{
    cbor_item inner;
    size_t left = 0;
    if (!add_elements(r, item, &left))
        return false;
    while (left) {
        left--;
        if (!cbor_next(r, &inner) || !add_elements(r, &inner, &left))
            return false;
    }
    return true;
}

/* The shortest head of a type and a number, as deterministic encoding wants it. */
static void put_head(cbor_writer *w, uint8_t type, uint64_t value)
{
    uint32_t bytes = value < 24 ? 0 : value <= 0xFF ? 1 : value <= 0xFFFF ? 2 : value <= 0xFFFFFFFF ? 4 : 8;
    if (w->full || (size_t)(w->end - w->p) < 1 + bytes) {
        w->full = true;
        return;
    }
    uint8_t info = bytes == 0 ? (uint8_t)value : bytes == 1 ? 24 : bytes == 2 ? 25 : bytes == 4 ? 26 : 27;
    *w->p++ = (uint8_t)(type << 5 | info);
    while (bytes--)
        *w->p++ = (uint8_t)(value >> (8 * bytes));
}

static uint8_t *put_string(cbor_writer *w, uint8_t type, uint32_t n)
{
    put_head(w, type, n);
    if (w->full || (size_t)(w->end - w->p) < n) {
        w->full = true;
        return NULL;
    }
    w->p += n;
    return w->p - n;
}

void cbor_uint(cbor_writer *w, uint64_t value)
{
    put_head(w, CBOR_UINT, value);
}

void cbor_int(cbor_writer *w, int32_t value)
{
    if (value < 0)
        put_head(w, CBOR_NEGATIVE, ~(uint32_t)value); /* -1 - value */
    else
        put_head(w, CBOR_UINT, (uint32_t)value);
}

void cbor_bool(cbor_writer *w, bool value)
{
    put_head(w, CBOR_BOOL, value ? 21 : 20);
}

uint8_t *cbor_reserve(cbor_writer *w, uint32_t n)
{
    return put_string(w, CBOR_BYTES, n);
}

void cbor_bytes(cbor_writer *w, const void *data, uint32_t n)
{
    uint8_t *p = put_string(w, CBOR_BYTES, n);
    if (p)
        memmove(p, data, n);
}

void cbor_text_n(cbor_writer *w, const void *text, uint32_t n)
{
    uint8_t *p = put_string(w, CBOR_TEXT, n);
    if (p)
        memmove(p, text, n);
}

void cbor_text(cbor_writer *w, const char *text)
{
    cbor_text_n(w, text, (uint32_t)strlen(text));
}

void cbor_array(cbor_writer *w, uint32_t elements)
{
    put_head(w, CBOR_ARRAY, elements);
}

void cbor_map(cbor_writer *w, uint32_t pairs)
{
    put_head(w, CBOR_MAP, pairs);
}
