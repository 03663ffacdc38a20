/* void pe_rv32_winograd_row_s8(const int8_t *const x[8], size_t depth, int16_t *v, bool add)
 * void pe_rv32_winograd_s8(const int16_t *u, const int16_t *v, uint32_t *m, size_t k)
 * Contracts in rv32.h. Rows of V: 21 instructions for four values; products: 4 channels by 4 tiles, 2.5 for each. */
#include "kernels/rv32/macros.S"

#define FRAME 64

.macro COLUMN op, k, t, p, q    /* t = p -+ q, of two pixels one above the other */
    lb \t, \k(\p)
    lb t0, \k(\q)
    \op \t, \t, t0
.endm
.macro TRANSFORM op
1:  .irp k, 0, 1, 2, 3, 4, 5, 6, 7
    COLUMN \op, \k, t1, a0, a4
    COLUMN \op, \k, t2, a3, a5
    COLUMN \op, \k, t3, a6, a7
    COLUMN \op, \k, t4, t5, t6
    sub t1, t1, t3
    sh t1, 32*\k(a2)
    add t1, t2, t3
    sh t1, 32*\k+8(a2)
    sub t1, t3, t2
    sh t1, 32*\k+16(a2)
    sub t1, t2, t4
    sh t1, 32*\k+24(a2)
    .endr
    .irp r, a0, a3, a4, a5, a6, a7, t5, t6
    addi \r, \r, 8
    .endr
    addi a2, a2, 256
    bne a0, a1, 1b
    ret
.endm

    FUNCTION pe_rv32_winograd_row_s8
    mv t0, a3
    lw a3, 4(a0)
    lw a4, 16(a0)
    lw a5, 20(a0)
    lw a6, 8(a0)
    lw a7, 24(a0)
    lw t5, 12(a0)
    lw t6, 28(a0)
    lw a0, 0(a0)
    add a1, a0, a1              /* the end of the first pixel */
    bnez t0, 2f
    TRANSFORM sub
2:  TRANSFORM add

/* The products of one k with four channels and tiles, added to the sums. */
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

/* The same as the first of the sums. */
.macro FIRST at, a, b, c, d
    lh t4, \at(a0)
    mul \a, t4, t0
    mul \b, t4, t1
    mul \c, t4, t2
    mul \d, t4, t3
.endm
.macro EACH row, k
    lh t0, 32*\k(a1)
    lh t1, 32*\k+2(a1)
    lh t2, 32*\k+4(a1)
    lh t3, 32*\k+6(a1)
    \row 8*\k, s0, s1, s2, s3
    \row 8*\k+2, s4, s5, s6, s7
    \row 8*\k+4, s8, s9, s10, s11
    \row 8*\k+6, a4, a5, a6, a7
.endm

    FUNCTION pe_rv32_winograd_s8
    SAVE FRAME
    slli ra, a3, 5              /* bytes of v */
    li t6, 4
1:  add a3, a1, ra
    EACH FIRST, 0
    j 3f
2:  EACH ROW, 0
3:  .irp k, 1, 2, 3, 4, 5, 6, 7
    EACH ROW, \k
    .endr
    addi a0, a0, 64
    addi a1, a1, 256
    bne a1, a3, 2b
    .set at, 0
    .irp r, s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, a4, a5, a6, a7
    sw \r, at(a2)
    .set at, at + 4
    .endr
    sub a1, a1, ra
    addi a1, a1, 8              /* the next position */
    addi a2, a2, 64
    addi t6, t6, -1
    bnez t6, 1b
    RESTORE FRAME
