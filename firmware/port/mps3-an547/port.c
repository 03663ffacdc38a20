/* QEMU `mps3-an547`: a Cortex-M55 at 32 MHz. Addresses: QEMU, hw/arm/mps2-tz.c and hw/arm/armsse.c. */
#include "cortexm/mps.h"

static const port_store store = {(const uint8_t *)0x28000000, 4096, 3840 * 1024, 0}; /* QSPI */

const mps_board mps = {
    .name = "mps3-an547",
    .uart = 0x49303000,
    .receive = 33,
    .fpgaio = 0x49302000,
    .instructions = 125, /* 64 ns are 2.048 ticks */
    .ticks = 256,
    .store = &store,
};
