#include "frame.h"

#include "port.h"

uint16_t frame_crc(uint16_t crc, const uint8_t *data, uint32_t n)
{
    static const uint16_t nibble[16] = {
        0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50A5, 0x60C6, 0x70E7,
        0x8108, 0x9129, 0xA14A, 0xB16B, 0xC18C, 0xD1AD, 0xE1CE, 0xF1EF,
    };
    for (uint32_t i = 0; i < n; i++) {
        crc = (uint16_t)(crc << 4) ^ nibble[(crc >> 12) ^ (data[i] >> 4)];
        crc = (uint16_t)(crc << 4) ^ nibble[(crc >> 12) ^ (data[i] & 15)];
    }
    return crc;
}

static void append(frame_rx *f, uint8_t byte)
{
    if (f->n < f->capacity)
        f->buf[f->n++] = byte;
    else
        f->bad = true; /* longer than any message */
}

uint32_t frame_put(frame_rx *f, uint8_t byte)
{
    if (byte == 0) {
        /* The CRC over a message and its own CRC is 0. */
        bool good = !f->bad && f->left == 0 && f->n > 2 && frame_crc(0, f->buf, f->n) == 0;
        uint32_t n = good ? f->n - 2 : 0;
        f->n = 0;
        f->left = 0;
        f->zero = f->bad = false;
        return n;
    }
    if (f->bad)
        return 0;
    if (f->left) {
        f->left--;
        append(f, byte);
    } else {
        if (f->zero)
            append(f, 0);
        f->left = (uint8_t)(byte - 1);
        f->zero = byte != 0xFF;
    }
    return 0;
}

void frame_send(uint8_t *buf, uint32_t n)
{
    uint16_t crc = frame_crc(0, buf, n);
    buf[n++] = (uint8_t)(crc >> 8);
    buf[n++] = (uint8_t)crc;

    /* One block: up to 254 bytes without a zero, preceded by their number + 1. */
    static const uint8_t end_mark = 0;
    uint32_t i = 0;
    for (;;) {
        uint32_t k = 0;
        while (k < 254 && i + k < n && buf[i + k])
            k++;
        uint8_t code = (uint8_t)(k + 1);
        port_tx(&code, 1);
        port_tx(buf + i, k);
        i += k;
        if (i == n)
            break;
        if (k < 254)
            i++; /* the zero, which the block's end stands for */
    }
    port_tx(&end_mark, 1);
}
