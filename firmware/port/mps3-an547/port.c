/* QEMU `mps3-an547`: a Cortex-M55 at 32 MHz, but the counter of FPGAIO at 20 MHz. Addresses: QEMU, hw/arm/mps2-tz.c and
 * hw/arm/armsse.c; the counter: hw/misc/mps2-fpgaio.c, prescale-clk, which this machine leaves as it is. */
#include "cortexm/mps.h"

static const port_store store = {(const uint8_t *)0x28000000, 4096, 3840 * 1024, 0}; /* QSPI */

const mps_board mps = {
    .name = "mps3-an547",
    .uart = 0x49303000,
    .receive = 33,
    .fpgaio = 0x49302000,
    .instructions = 25, /* 64 ns are 1.28 ticks */
    .ticks = 32,
    .store = &store,
};
