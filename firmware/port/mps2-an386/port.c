/* QEMU `mps2-an386`: a Cortex-M4F at 25 MHz. Addresses: QEMU, hw/arm/mps2.c. */
#include "cortexm/mps.h"

static const port_store store = {(const uint8_t *)0x20000000, 4096, 1536 * 1024, 0}; /* SSRAM 2 and 3 */

const mps_board mps = {
    .name = "mps2-an386",
    .uart = 0x40004000,
    .receive = 0,
    .fpgaio = 0x40028000,
    .instructions = 5, /* 64 ns are 1.6 ticks */
    .ticks = 8,
    .store = &store,
};
