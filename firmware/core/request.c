#include "request.h"

#include "mem.h"

#ifdef PE_WITH_SLOTS
enum { KEY_BYTES = 8 };
#else
enum { KEY_BYTES = 5 };
#endif

static const struct {
    char key[KEY_BYTES];
    uint8_t type;
    uint8_t place; /* of the number, or of the length of a string */
} FIELDS[] = {
    [FIELD_TEXT] = {"d", CBOR_TEXT, offsetof(request, data_bytes)},
    [FIELD_OFF] = {"off", CBOR_UINT, offsetof(request, off)},
    [FIELD_DATA] = {"data", CBOR_BYTES, offsetof(request, data_bytes)},
    [FIELD_LEN] = {"len", CBOR_UINT, offsetof(request, len)},
    [FIELD_SHA] = {"sha", CBOR_BYTES, offsetof(request, sha_bytes)},
    [FIELD_ENTRY] = {"e", CBOR_UINT, offsetof(request, e)},
    [FIELD_INDEX] = {"i", CBOR_UINT, offsetof(request, i)},
    [FIELD_N] = {"n", CBOR_UINT, offsetof(request, n)},
    [FIELD_ID] = {"id", CBOR_UINT, offsetof(request, id)},
    [FIELD_PROF] = {"prof", CBOR_BOOL, offsetof(request, prof)},
    [FIELD_CRC] = {"crc", CBOR_UINT, offsetof(request, crc)},
    [FIELD_SEED] = {"seed", CBOR_UINT, offsetof(request, seed)},
    [FIELD_CLASSES] = {"cls", CBOR_UINT, offsetof(request, classes)},
    [FIELD_ACCUMULATE] = {"acc", CBOR_UINT, offsetof(request, accumulate)},
#ifdef PE_WITH_SLOTS
    [FIELD_HASH] = {"hash", CBOR_BYTES, offsetof(request, sha_bytes)},
    [FIELD_CONFIRM] = {"confirm", CBOR_BOOL, offsetof(request, confirm)},
#endif
};
enum { FIELD_COUNT = sizeof FIELDS / sizeof FIELDS[0] };

static uint32_t find_field(const cbor_item *key)
{
    uint32_t i = 0;
    while (i < FIELD_COUNT &&
           (strlen(FIELDS[i].key) != key->value || memcmp(FIELDS[i].key, key->data, key->value) != 0))
        i++;
    return i;
}

bool read_request(request *q, const uint8_t *body, uint32_t n)
{
    cbor_reader r = {body, body + n};
    cbor_item map, key, value;
    memset(q, 0, sizeof *q);
    if (n == 0)
        return true;
    if (!cbor_next(&r, &map) || map.type != CBOR_MAP)
        return false;
    for (uint32_t pair = 0; pair < map.value; pair++) {
        if (!cbor_next(&r, &key) || key.type != CBOR_TEXT || !cbor_next(&r, &value) || !cbor_skip(&r, &value))
            return false;
        uint32_t i = find_field(&key);
        if (i == FIELD_COUNT)
            continue;
        if (value.type != FIELDS[i].type || ((i == FIELD_SHA || i == FIELD_HASH) && value.value != SHA_BYTES))
            return false;
        q->has |= 1u << i;
        memcpy((uint8_t *)q + FIELDS[i].place, &value.value, sizeof value.value);
        if (i == FIELD_SHA || i == FIELD_HASH)
            q->sha = value.data;
        else if (value.data)
            q->data = value.data;
    }
    return r.p == r.end;
}

void fail(fault *f, uint32_t rc, const char *what)
{
    f->rc = rc;
    f->what = what;
}

void put_fault(cbor_writer *w, const fault *f, bool own)
{
    bool refused = own && f->err.status != PE_OK;
    bool op = refused && f->err.op != PE_NONE, tensor = refused && f->err.tensor != PE_NONE;
    cbor_map(w, 2 + refused + op + tensor);
    put_uint(w, "rc", f->rc);
    put_text(w, own ? "what" : "rsn", f->what);
    if (refused) {
        cbor_text(w, "st");
        cbor_int(w, f->err.status);
    }
    if (op)
        put_uint(w, "op", f->err.op);
    if (tensor)
        put_uint(w, "t", f->err.tensor);
}

void put_uint(cbor_writer *w, const char *key, uint64_t value)
{
    cbor_text(w, key);
    cbor_uint(w, value);
}

void put_text(cbor_writer *w, const char *key, const char *value)
{
    cbor_text(w, key);
    cbor_text(w, value);
}

void put_bool(cbor_writer *w, const char *key, bool value)
{
    cbor_text(w, key);
    cbor_bool(w, value);
}

static char *put_digits(char *text, uint32_t n)
{
    if (n >= 10)
        text = put_digits(text, n / 10);
    *text++ = (char)('0' + n % 10);
    return text;
}

void put_version(cbor_writer *w, const uint32_t *numbers, uint32_t n)
{
    char text[4 * 11], *end = text; /* four of ten digits */
    for (uint32_t i = 0; i < n && i < 4; i++) {
        end = put_digits(end, numbers[i]);
        *end++ = '.';
    }
    end[-1] = 0;
    put_text(w, "version", text);
}

void put_bytes(cbor_writer *w, const char *key, const void *data, uint32_t n)
{
    cbor_text(w, key);
    cbor_bytes(w, data, n);
}

void put_chunk(cbor_writer *w, const uint8_t *data, uint32_t off, uint32_t n, uint32_t rest)
{
    cbor_map(w, 3);
    put_uint(w, "off", off);
    cbor_text(w, "data");
    const uint32_t room = (uint32_t)(w->end - w->p) - 14; /* head of the string, "crc" and a number */
    n = n < rest ? n : rest;
    n = n < room ? n : room;
    cbor_bytes(w, data, n);
    put_uint(w, "crc", pe_crc32(0, data, n));
}
