/* void pe_rv32_winograd_s8(const int16_t *u, const int16_t *v, uint32_t *m, size_t k): contract in rv32.h.
 * 4 channels by 4 tiles: 2.5 instructions for a product. */
#include "kernels/rv32/macros.S"

#define FRAME 64

.macro ROW at, a, b, c, d
    lh t4, \at(a0)
    mul t5, t4, t0
    add \a, \a, t5
    mul t5, t4, t1
    add \b, \b, t5
    mul t5, t4, t2
    add \c, \c, t5
    mul t4, t4, t3
    add \d, \d, t4
.endm

    FUNCTION pe_rv32_winograd_s8
    SAVE FRAME
    slli ra, a3, 3              /* bytes of v for one position */
    li t6, 16
1:  .irp r, s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, a4, a5, a6, a7
    li \r, 0
    .endr
    add a3, a1, ra
2:  .irp k, 0, 1, 2, 3, 4, 5, 6, 7
    lh t0, 8*\k(a1)
    lh t1, 8*\k+2(a1)
    lh t2, 8*\k+4(a1)
    lh t3, 8*\k+6(a1)
    ROW 8*\k, s0, s1, s2, s3
    ROW 8*\k+2, s4, s5, s6, s7
    ROW 8*\k+4, s8, s9, s10, s11
    ROW 8*\k+6, a4, a5, a6, a7
    .endr
    addi a0, a0, 64
    addi a1, a1, 64
    bne a1, a3, 2b
    .set at, 0
    .irp r, s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, a4, a5, a6, a7
    sw \r, at(a2)
    .set at, at + 4
    .endr
    addi a2, a2, 64
    addi t6, t6, -1
    bnez t6, 1b
    RESTORE FRAME
