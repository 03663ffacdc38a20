/* void pe_rv32_pairs_s8(const pe_rv32_pairs *t): contract in rv32.h.
 *
 * A word of x holds pixel A below pixel B, so that one multiplication by a weight gives both products, P = A + (B << 16).
 * Two neighbours in k are added before the halves are told apart:
 *
 *     S1 += P                                = A + (B << 16) modulo 2^32
 *     S2 += (P + 2^15 - 1 - 2^24) >> 16      = B - 256
 *
 * In the end B = S2 + 256 for each step, A = S1 - (B << 16). A and B of two products lie in -2 * 128 * 127 .. 2 * 128 * 128:
 * A + 2^15 - 1 fits 16 bits without a sign, B - 256 16 bits with one, so this is exact for any weights.
 * 2.3 instructions per MAC; a tile of separate sums has 2.5 and needs two registers more than there are. */
#include "kernels/rv32/macros.S"

/* t4, t5: the sums of a step, of pixels 0, 1 and of 2, 3; t6, a3: products */
.macro TAKE s1a, s2a, s1b, s2b
    add \s1a, \s1a, t4
    add \s1b, \s1b, t5
    add t4, t4, ra
    add t5, t5, ra
    srai t4, t4, 16
    srai t5, t5, 16
    add \s2a, \s2a, t4
    add \s2b, \s2b, t5
.endm
.macro ONE at, s:vararg
    lb t6, \at(a1)
    mul t4, t6, t0
    mul t5, t6, t1
    TAKE \s
.endm
.macro TWO at, s:vararg
    lb t6, \at(a1)
    mul t4, t6, t0
    mul t5, t6, t1
    lb t6, \at+1(a1)
    mul a3, t6, t2
    mul t6, t6, t3
    add t4, t4, a3
    add t5, t5, t6
    TAKE \s
.endm
.macro X2 at
    lw t0, \at(a0)
    lw t1, \at+4(a0)
    lw t2, \at+8(a0)
    lw t3, \at+12(a0)
.endm
.macro DOWN step, at
    \step \at, s0, s1, s2, s3
    add a1, a1, a2
    \step \at, s4, s5, s6, s7
    add a1, a1, a2
    \step \at, s8, s9, s10, s11
    add a1, a1, a2
    \step \at, a4, a5, a6, a7
.endm
.macro UP step, at
    \step \at, a4, a5, a6, a7
    sub a1, a1, a2
    \step \at, s8, s9, s10, s11
    sub a1, a1, a2
    \step \at, s4, s5, s6, s7
    sub a1, a1, a2
    \step \at, s0, s1, s2, s3
.endm
.macro TOP                      /* back to the first row */
    slli t6, a2, 1
    sub a1, a1, t6
    sub a1, a1, a2
.endm
.macro START at, s1a, s2a, s1b, s2b
    lw \s2a, \at(t0)
    slli \s1a, \s2a, 16
    add \s1a, \s1a, \s2a
    mv \s1b, \s1a
    add \s2a, \s2a, t1
    mv \s2b, \s2a
.endm
.macro CHANNEL r, s1a, s2a, s1b, s2b
    CHANNEL_CONSTANTS 12*\r
    slli t6, \s2a, 16
    sub \s1a, \s1a, t6
    slli t6, \s2b, 16
    sub \s1b, \s1b, t6
    REQUANTIZE \s1a, \r, a1
    REQUANTIZE \s2a, \r, a2
    REQUANTIZE \s1b, \r, a3
    REQUANTIZE \s2b, \r, t0
.endm

#define X 0
#define W 4
#define Q 8
#define Y 12
#define Y_STRIDE 16
#define K 20
#define BLOCKS 24
#define OFFSET 28
#define MIN 32
#define MAX 36
/* The frame: a copy of what changes, and the end of x. */
#define F_T 52
#define F_Q 56
#define F_Y 60
#define F_W 64
#define F_END 68
#define F_BLOCKS 72
#define F_BIAS 76
#define FRAME 80

    FUNCTION pe_rv32_pairs_s8
    SAVE FRAME
    sw a0, F_T(sp)
    lw t0, Q(a0)
    sw t0, F_Q(sp)
    lw t0, Y(a0)
    sw t0, F_Y(sp)
    lw a1, W(a0)
    lw t0, BLOCKS(a0)
    sw t0, F_BLOCKS(sp)
    lw a2, K(a0)
    addi t0, a2, 1
    srli t0, t0, 1
    slli t0, t0, 8
    sw t0, F_BIAS(sp)           /* 256 for each step */
    lw t1, X(a0)
    srli t0, a2, 2
    slli t0, t0, 5
    add t0, t0, t1
    sw t0, F_END(sp)            /* of x, where fewer than four k are left */

1:  lw t2, F_T(sp)
    lw t0, F_Q(sp)
    lw t1, F_BIAS(sp)
    START 0, s0, s1, s2, s3
    START 12, s4, s5, s6, s7
    START 24, s8, s9, s10, s11
    START 36, a4, a5, a6, a7
    lw a0, X(t2)
    li ra, 0x7FFF - 0x1000000
    lw t4, F_END(sp)
    beq a0, t4, 3f
2:  X2 0
    DOWN TWO, 0
    X2 16
    UP TWO, 2
    lw t4, F_END(sp)
    addi a0, a0, 32
    addi a1, a1, 4
    bne a0, t4, 2b
3:  andi t4, a2, 2
    beqz t4, 4f
    X2 0
    DOWN TWO, 0
    TOP
    addi a0, a0, 16
    addi a1, a1, 2
4:  andi t4, a2, 1
    beqz t4, 5f
    lw t0, 0(a0)
    lw t1, 4(a0)
    DOWN ONE, 0
    TOP
    addi a1, a1, 1

5:  slli t0, a2, 1              /* a1 is at the end of the first row */
    add t0, t0, a2
    add a1, a1, t0
    sw a1, F_W(sp)
    lw t0, F_T(sp)
    lw a0, F_Q(sp)
    lw a1, F_Y(sp)
    lw t6, Y_STRIDE(t0)
    lw t3, OFFSET(t0)
    lw t4, MIN(t0)
    lw t5, MAX(t0)
    add a2, a1, t6
    add a3, a2, t6
    add t0, a3, t6
    CHANNEL 0, s0, s1, s2, s3
    CHANNEL 1, s4, s5, s6, s7
    CHANNEL 2, s8, s9, s10, s11
    CHANNEL 3, a4, a5, a6, a7
    addi a0, a0, 48
    sw a0, F_Q(sp)
    addi a1, a1, 4
    sw a1, F_Y(sp)
    lw t0, F_T(sp)
    lw a1, F_W(sp)
    lw a2, K(t0)
    lw t0, F_BLOCKS(sp)
    addi t0, t0, -1
    sw t0, F_BLOCKS(sp)
    bnez t0, 1b
    RESTORE FRAME
