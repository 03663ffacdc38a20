/* frame.c: every message comes back; whatever is on the wire, nothing is written outside the buffer and the next good frame
 * is received. */
#include <stdint.h>
#include <string.h>

#include "frame.h"
#include "port.h"
#include "unit.h"

enum { CAPACITY = 1024 + 2 };

static uint8_t wire[2 * CAPACITY];
static uint32_t wire_bytes;

void port_tx(const uint8_t *data, uint32_t n)
{
    CHECK(wire_bytes + n <= sizeof wire);
    memcpy(wire + wire_bytes, data, n);
    wire_bytes += n;
}

/* Feeds the wire to a receiver; the length of the message that its last byte completes. */
static uint32_t receive(frame_rx *rx, uint32_t from)
{
    uint32_t n = 0;
    for (uint32_t i = from; i < wire_bytes; i++) {
        CHECK(n == 0); /* a message only with the end mark */
        n = frame_put(rx, wire[i]);
    }
    return n;
}

static void send(const uint8_t *message, uint32_t n)
{
    uint8_t *buf = malloc(n + 2); /* exact, so that ASan sees the byte behind */
    memcpy(buf, message, n);
    wire_bytes = 0;
    frame_send(buf, n);
    free(buf);
    CHECK(wire[wire_bytes - 1] == 0 && !memchr(wire, 0, wire_bytes - 1));
    CHECK(wire_bytes <= n + 2 + (n + 2) / 254 + 2);
}

int main(void)
{
    CHECK(frame_crc(0, (const uint8_t *)"123456789", 9) == 0x31C3); /* the check value of CRC-16/XMODEM */

    uint8_t *buf = malloc(CAPACITY), message[CAPACITY];
    frame_rx rx = {.buf = buf, .capacity = CAPACITY};
    srand(1);
    /* Each length, in four kinds: no zeros, only zeros, few zeros, a zero at the block's edge. */
    for (uint32_t n = 1; n <= CAPACITY - 2; n++)
        for (int kind = 0; kind < 4; kind++) {
            for (uint32_t i = 0; i < n; i++)
                message[i] = kind == 0       ? 1 + i % 255
                             : kind == 1     ? 0
                             : kind == 2     ? (rand() & 15 ? 7 : 0)
                             : (i + 1) % 254 ? 9
                                             : 0;
            send(message, n);
            CHECK(receive(&rx, 0) == n && memcmp(buf, message, n) == 0);
        }

    /* One byte more than fits is dropped, and the frame after it received. */
    memset(message, 5, sizeof message);
    send(message, CAPACITY - 1);
    CHECK(receive(&rx, 0) == 0);
    send(message, CAPACITY - 2);
    CHECK(receive(&rx, 0) == CAPACITY - 2);

    /* A changed bit, a lost byte, a cut frame, noise before it: nothing, or the whole message if the frame was not hit. */
    int missed = 0;
    for (int trial = 0; trial < 20000; trial++) {
        uint32_t n = 1 + (uint32_t)rand() % 300;
        for (uint32_t i = 0; i < n; i++)
            message[i] = (uint8_t)(rand() & 3 ? rand() : 0);
        message[0] |= 1; /* a CRC that starts with 0 does not see a lost zero in front: the header's length does */
        send(message, n);
        uint32_t at = (uint32_t)rand() % wire_bytes;
        if (trial % 3 == 0) {
            wire[at] ^= (uint8_t)(1u << (rand() & 7));
        } else if (trial % 3 == 1) {
            memmove(wire + at, wire + at + 1, wire_bytes - at - 1);
            wire_bytes--;
        } else {
            wire_bytes = at; /* cut; a retry follows, with a zero before it */
        }
        uint32_t got = 0;
        for (uint32_t i = 0; i < wire_bytes; i++) {
            uint32_t k = frame_put(&rx, wire[i]);
            got += k != 0;
            missed += k != 0 && (k != n || memcmp(buf, message, n) != 0);
        }
        CHECK(got <= 1);
        frame_put(&rx, 0);
        send(message, n);
        CHECK(receive(&rx, 0) == n && memcmp(buf, message, n) == 0);
    }

    CHECK(missed <= 3); /* 16 bits of CRC let through one damaged frame in 65,536 */

    /* Endless noise. */
    for (int i = 0; i < 1000000; i++)
        frame_put(&rx, (uint8_t)(rand() >> 5));
    frame_put(&rx, 0);
    send(message, 100);
    CHECK(receive(&rx, 0) == 100);
    free(buf);
    return 0;
}
