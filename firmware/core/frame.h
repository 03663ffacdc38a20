/* Frames on a byte pipe: COBS( message | crc16, big-endian ) 00. docs/link.md, "Frame". */
#ifndef FRAME_H
#define FRAME_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes in place as bytes come, so that one buffer of the longest message + 2 is all that receiving needs. */
typedef struct frame_rx {
    uint8_t *buf;
    uint32_t capacity; /* of buf */
    uint32_t n;        /* decoded bytes */
    uint8_t left;      /* bytes left in the COBS block */
    bool zero;         /* a zero stands between this block and the next */
    bool bad;          /* skip to the next end mark */
} frame_rx;

/* Takes one byte from the wire. Returns the length of the message now in buf (its CRC was good), or 0: not yet, or a bad
 * frame was dropped. */
uint32_t frame_put(frame_rx *f, uint8_t byte);

/* Sends buf[n]. Overwrites buf[n] and buf[n + 1] with the CRC. */
void frame_send(uint8_t *buf, uint32_t n);

uint16_t frame_crc(uint16_t crc, const uint8_t *data, uint32_t n); /* CRC-16/XMODEM; start with 0 */
#endif
