/* Arm's MPS2 and MPS3 FPGA boards as QEMU has them: CMSDK UART 0, and the counter of FPGAIO. */
#ifndef MPS_H
#define MPS_H
#include "port.h"

typedef struct mps_board {
    const char *name;
    uint32_t uart, receive; /* address; the UART's own interrupt for received data */
    uint32_t fpgaio;        /* address */
    /* Instructions for ticks of the counter, as a fraction. One instruction is 64 ns under -icount shift=6. */
    uint32_t instructions, ticks;
    const port_store *store;
} mps_board;

extern const mps_board mps; /* of the board */
#endif
