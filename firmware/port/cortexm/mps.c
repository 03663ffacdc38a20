/* The port of the MPS boards. Registers: Arm DDI 0479 (CMSDK), table 4-4; Arm DAI 0386, FPGA system control and I/O.
 *
 * QEMU counts no cycles on these cores (DWT CYCCNT reads 0), so instructions are told from a timer. Under -icount each
 * takes the same time, and with shift=6 it is longer than a tick of the timer, so that the count is right to one. */
#include "mps.h"

#include "cortexm.h"

enum { DATA = 0x00, STATE = 0x04, CTRL = 0x08, INTERRUPT = 0x0C, BAUD = 0x10 };
enum { TX_FULL = 1, RX_FULL = 2, TX_ON = 1, RX_ON = 2, RX_INTERRUPT_ON = 8, RX_INTERRUPT = 2 };
enum { FPGAIO_COUNTER = 0x18, FPGAIO_PRESCALE = 0x1C };
enum {
    SHORTEST_BIT = 16,
    BUF = 512
}; /* QEMU hands over one byte at a time: a short message is there before it is asked for again */

extern uint8_t __data_start[], __bss_end[], __pool_start[], __pool_end[], __stack_low[], __stack_top[];

void port_init(port_info *info)
{
    static uint8_t buf[BUF + 2];
    static uint32_t boots __attribute__((section(".keep"))); /* RAM keeps its content across a reset */

    R32(mps.uart + BAUD) = SHORTEST_BIT; /* QEMU takes no notice of the rate, but sends nothing with less */
    R32(mps.uart + CTRL) = TX_ON | RX_ON | RX_INTERRUPT_ON;
    cortexm_enable(mps.receive);
    R32(mps.fpgaio + FPGAIO_PRESCALE) = 0; /* a tick each clock */

    *info = (port_info){
        .board = mps.name,
        .unit = "instructions",
        .boot = ++boots,
        .buf = buf,
        .buf_bytes = BUF,
        .pool = __pool_start,
        .pool_bytes = (uint32_t)(__pool_end - __pool_start),
        .static_bytes = (uint32_t)(__bss_end - __data_start),
        .stack = __stack_low,
        .stack_bytes = (uint32_t)(__stack_top - __stack_low),
        .store = mps.store,
    };
}

uint32_t port_rx(uint8_t *data, uint32_t n)
{
    uint32_t got = 0;
    while (!(R32(mps.uart + STATE) & RX_FULL)) {
        cortexm_wait();
        R32(mps.uart + INTERRUPT) = RX_INTERRUPT;
        cortexm_clear(mps.receive);
    }
    do
        data[got++] = (uint8_t)R32(mps.uart + DATA);
    while (got < n && R32(mps.uart + STATE) & RX_FULL);
    return got;
}

void port_tx(const uint8_t *data, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        while (R32(mps.uart + STATE) & TX_FULL) {
        }
        R32(mps.uart + DATA) = data[i];
    }
}

uint64_t port_count(void *ctx)
{
    static uint64_t ticks; /* the counter in 64 bits: it wraps after 2 G instructions, longer than any op takes */
    (void)ctx;
    ticks += R32(mps.fpgaio + FPGAIO_COUNTER) - (uint32_t)ticks;
    return ticks * mps.instructions / mps.ticks;
}

_Noreturn void port_reset(void)
{
    cortexm_reset();
}

/* QEMU has no flash on these boards that it could write: the store is RAM that the emulator fills, and read-only. */
int port_erase(uint32_t offset)
{
    (void)offset;
    return -1;
}

int port_program(uint32_t offset, const uint8_t *data, uint32_t n)
{
    (void)offset, (void)data, (void)n;
    return -1;
}
