/* A NOR flash in memory, whose power can be cut at any operation. The test that includes this says before, in an enum, its
 * SIZE, SECTOR and UNIT (what is programmed at once), bytes; AT, the offset that ports give its first byte; BEGIN and END, the
 * part of it that may be written. */
#ifndef NOR_H
#define NOR_H
#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include "port.h"
#include "unit.h"

enum {
    NONE,
    PARTIAL,
    NOISY,
    WAYS
}; /* of an operation that is cut: nothing is done, a part, a part and noise behind it */

static _Alignas(64) uint8_t flash[SIZE];
static int operations, cut_at, cut_how; /* done; the one that is cut, from 1 on, by longjmp to power */
static jmp_buf power;

static void operate(uint32_t offset, const uint8_t *want, uint32_t n)
{
    CHECK(offset - BEGIN <= END - BEGIN - n);
    if (++operations != cut_at) {
        memcpy(flash + offset, want, n);
        return;
    }
    uint32_t whole = cut_how == NONE ? 0 : (uint32_t)rand() % (n + 1);
    memcpy(flash + offset, want, whole);
    for (uint32_t i = whole; cut_how == NOISY && i < n; i++) {
        uint8_t mix = (uint8_t)(rand() >> 5);
        flash[offset + i] = (uint8_t)((flash[offset + i] & mix) | (want[i] & ~mix));
    }
    longjmp(power, 1);
}

int port_erase(uint32_t offset)
{
    uint8_t erased[SECTOR];
    memset(erased, 0xFF, sizeof erased);
    CHECK((offset - AT) % SECTOR == 0);
    operate(offset - AT, erased, SECTOR);
    return 0;
}

int port_program(uint32_t offset, const uint8_t *data, uint32_t n)
{
    CHECK(offset - AT < SIZE && offset % UNIT == 0 && n % UNIT == 0);
    for (uint32_t i = 0; i < n; i++)
        CHECK(flash[offset - AT + i] == 0xFF); /* nothing is programmed twice, which ECC flash could not bear */
    operate(offset - AT, data, n);
    return 0;
}
#endif
