/* cbor.c: what the writer writes the reader reads, in every length of head; damaged items are refused, inside the bytes given;
 * a buffer that is too small by any number of bytes is said to be full and nothing is written behind it. */
#include <stdint.h>
#include <string.h>

#include "cbor.h"
#include "unit.h"

static uint8_t *copy(const uint8_t *data, size_t n)
{
    uint8_t *p = malloc(n ? n : 1); /* exact, so that ASan sees reads behind */
    memcpy(p, data, n);
    return p;
}

static void write_all(cbor_writer *w)
{
    static const uint64_t NUMBERS[] = {0, 23, 24, 255, 256, 65535, 65536, 0xFFFFFFFF, 0x100000000, UINT64_MAX};
    cbor_map(w, 3);
    cbor_text(w, "numbers");
    cbor_array(w, sizeof NUMBERS / sizeof NUMBERS[0] + 3);
    for (size_t i = 0; i < sizeof NUMBERS / sizeof NUMBERS[0]; i++)
        cbor_uint(w, NUMBERS[i]);
    cbor_int(w, -1);
    cbor_int(w, -500);
    cbor_int(w, INT32_MIN);
    cbor_text(w, "yes");
    cbor_bool(w, true);
    cbor_text(w, "data");
    uint8_t *data = cbor_reserve(w, 300);
    if (data)
        memset(data, 7, 300);
}

static void test_writer(void)
{
    uint8_t whole[512];
    cbor_writer w = {whole, whole + sizeof whole, false};
    write_all(&w);
    CHECK(!w.full);
    size_t n = (size_t)(w.p - whole);
    fwrite(whole, 1, n, stdout); /* the test reads it with cbor2 */

    for (size_t room = 0; room < n; room++) {
        uint8_t *small = malloc(room ? room : 1);
        w = (cbor_writer){small, small + room, false};
        write_all(&w);
        CHECK(w.full && w.p <= small + room && memcmp(small, whole, (size_t)(w.p - small)) == 0);
        free(small);
    }
}

/* 0: refused; else the bytes that the item took. */
static size_t skip(const uint8_t *data, size_t n)
{
    uint8_t *p = copy(data, n);
    cbor_reader r = {p, p + n};
    cbor_item item;
    size_t used = cbor_next(&r, &item) && cbor_skip(&r, &item) ? (size_t)(r.p - p) : 0;
    free(p);
    return used;
}
#define SKIP(...) skip((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void test_reader(void)
{
    CHECK(skip((const uint8_t *)"", 0) == 0);
    CHECK(SKIP(0x17) == 1 && SKIP(0x18, 0xFF) == 2 && SKIP(0x19, 1, 2) == 3 && SKIP(0x1A, 1, 2, 3, 4) == 5);
    CHECK(SKIP(0x18) == 0 && SKIP(0x19, 1) == 0 && SKIP(0x1A, 1, 2, 3) == 0);
    CHECK(SKIP(0x1B, 0, 0, 0, 0, 0, 0, 0, 1) == 0); /* 64 bits */
    CHECK(SKIP(0x1C) == 0 && SKIP(0x1F) == 0 && SKIP(0x5F) == 0 && SKIP(0x9F, 0xFF) == 0 && SKIP(0xBF, 0xFF) == 0);
    CHECK(SKIP(0x42, 1, 2) == 3 && SKIP(0x42, 1) == 0 && SKIP(0x5A, 0xFF, 0xFF, 0xFF, 0xFF, 1) == 0);
    CHECK(SKIP(0xF4) == 1 && SKIP(0xF5) == 1 && SKIP(0xF6) == 0 && SKIP(0xF9, 0, 0) == 0 && SKIP(0xC0, 0) == 0);
    CHECK(SKIP(0x82, 0x81, 0x00, 0xA1, 0x61, 'k', 0x20) == 7); /* [[0], {"k": -1}] */
    CHECK(SKIP(0x82, 0x81, 0x00, 0xA1, 0x61, 'k') == 0);
    CHECK(SKIP(0x9A, 0xFF, 0xFF, 0xFF, 0xFF, 0) == 0 && SKIP(0xBA, 0x80, 0, 0, 0, 0) == 0 &&
          SKIP(0xBA, 0xFF, 0xFF, 0xFF, 0xFF, 0) == 0);

    uint8_t deep[4096]; /* as deep as there are bytes: needs no stack */
    memset(deep, 0x81, sizeof deep);
    CHECK(skip(deep, sizeof deep) == 0);
    deep[sizeof deep - 1] = 0;
    CHECK(skip(deep, sizeof deep) == sizeof deep);

    srand(1);
    for (int trial = 0; trial < 200000; trial++) {
        uint8_t noise[24];
        size_t n = (size_t)rand() % sizeof noise;
        for (size_t i = 0; i < n; i++)
            noise[i] = (uint8_t)(rand() >> 5);
        CHECK(skip(noise, n) <= n);
    }
}

int main(void)
{
    test_writer();
    test_reader();
    return 0;
}
