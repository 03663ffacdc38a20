/* void pe_rv32_interleaved16_s8, pe_rv32_interleaved4_s8(const pe_rv32_linear *t): contract in rv32.h.
 *
 * A word of w holds u = w + 128 of four rows at one k. Two of them, 16 bits apart, are multiplied at once: rows 0 and 2 as
 * they are masked, rows 1 and 3, one byte higher, by the high half of the product with x << 24. Two neighbours in k are added
 * to 32640 - 128 * (x0 + x1) in either half, which gives
 *
 *     P = A + 32640 + ((B + 32640) << 16)    A, B: the sums of two products, -2 * 128 * 127 .. 2 * 128 * 128
 *
 * whose halves need no sign, so this is exact for any weights:
 *
 *     S1 += P            = A + 32640 + ((B + 32640) << 16) modulo 2^32
 *     S2 += P >> 16      = B + 32640
 *
 * In the end A = S1 - (S2 << 16) - 32640 for each step. 2.5 instructions per MAC, 2.8 with what the rows share. */
#include "kernels/rv32/macros.S"

#define X 0
#define W 4
#define Q 8
#define Y 12
#define K 16
#define BLOCKS 20
#define OFFSET 24
#define MIN 28
#define MAX 32
/* The frame: where the next rows begin, constants that have no register, sums that wait for requantization. */
#define F_T 52
#define F_Q 56
#define F_Y 60
#define F_BLOCKS 64
#define F_END 68
#define F_FACTOR 72
#define F_BIAS 76
#define F_SUMS 80
#define FRAME 144

/* a0: x; a1: w; a2: 0x00FF00FF. Of a step: t0, t1: x; t2, t3: x << 24; a3: what to add. */
.macro TAKE product, s1, s2
    add \s1, \s1, \product
    srli \product, \product, 16
    add \s2, \s2, \product
.endm
.macro SHARE2 at                /* of neighbours at and at + 1 */
    lb t0, \at(a0)
    lb t1, \at+1(a0)
    lw t4, F_FACTOR(sp)
    slli t2, t0, 24
    slli t3, t1, 24
    add a3, t0, t1
    addi a3, a3, -255
    mul a3, a3, t4
.endm
.macro SHARE1 at
    lb t0, \at(a0)
    lw t4, F_FACTOR(sp)
    slli t2, t0, 24
    addi a3, t0, -255
    mul a3, a3, t4
.endm
.macro TWO s10, s20, s11, s21   /* S1 and S2 of rows 0 and 2, of rows 1 and 3 */
    lw t4, at(a1)
    lw t5, at+row(a1)
    and t6, t4, a2
    and ra, t5, a2
    sub t4, t4, t6
    sub t5, t5, ra
    mul t6, t6, t0
    mul ra, ra, t1
    add t6, t6, a3
    add t6, t6, ra
    TAKE t6, \s10, \s20
    mulhsu t4, t2, t4
    mulhsu t5, t3, t5
    add t4, t4, a3
    add t4, t4, t5
    TAKE t4, \s11, \s21
    .set at, at + 4
.endm
.macro ONE s10, s20, s11, s21
    lw t4, at(a1)
    and t6, t4, a2
    sub t4, t4, t6
    mul t6, t6, t0
    add t6, t6, a3
    TAKE t6, \s10, \s20
    mulhsu t4, t2, t4
    add t4, t4, a3
    TAKE t4, \s11, \s21
    .set at, at + 4
.endm

.macro PAIR_BEGIN q, s1, s2     /* rows q and q + 2: their biases, and what the steps add too much */
    lw \s1, 12*(\q)(t0)
    lw \s2, 12*(\q)+24(t0)
    slli t2, \s2, 16
    add \s1, \s1, t2
    sub \s1, \s1, t1
    sub \s2, \s2, t1
    slli t2, t1, 16
    sub \s1, \s1, t2
.endm
.macro BEGIN s10, s20, s11, s21
    PAIR_BEGIN at, \s10, \s20
    PAIR_BEGIN at+1, \s11, \s21
    .set at, at + 4
.endm
.macro END s10, s20, s11, s21
    slli t6, \s20, 16
    sub \s10, \s10, t6
    slli t6, \s21, 16
    sub \s11, \s11, t6
    sw \s10, F_SUMS+4*(at)(sp)
    sw \s11, F_SUMS+4*(at+1)(sp)
    sw \s20, F_SUMS+4*(at+2)(sp)
    sw \s21, F_SUMS+4*(at+3)(sp)
    .set at, at + 4
.endm

/* rows: of a block, by a macro that takes what to do with each four */
.macro INTERLEAVED name, rows, each
    FUNCTION \name
    .set row, \rows
    SAVE FRAME
    sw a0, F_T(sp)
    lw a1, W(a0)
    lw t0, Q(a0)
    sw t0, F_Q(sp)
    lw t0, Y(a0)
    sw t0, F_Y(sp)
    lw t0, BLOCKS(a0)
    sw t0, F_BLOCKS(sp)
    lw t1, K(a0)
    lw t0, X(a0)
    andi t2, t1, -4
    add t0, t0, t2
    sw t0, F_END(sp)            /* of x, where fewer than four k are left */
    addi t1, t1, 1
    srli t1, t1, 1
    slli t2, t1, 15
    slli t1, t1, 7
    sub t1, t2, t1
    sw t1, F_BIAS(sp)           /* 32640 for each step */
    li t0, -0x00800080
    sw t0, F_FACTOR(sp)
    li a2, 0x00FF00FF

1:  lw t0, F_Q(sp)
    lw t1, F_BIAS(sp)
    .set at, 0
    \each BEGIN
    lw t5, F_T(sp)
    lw t4, F_END(sp)
    lw a0, X(t5)
    beq a0, t4, 3f
2:  SHARE2 0
    .set at, 0
    \each TWO
    SHARE2 2
    .set at, 2*\rows
    \each TWO
    lw t4, F_END(sp)
    addi a0, a0, 4
    addi a1, a1, 4*\rows
    bne a0, t4, 2b
3:  lw t5, F_T(sp)
    lw t5, K(t5)
    andi t4, t5, 2
    beqz t4, 4f
    SHARE2 0
    .set at, 0
    \each TWO
    lw t5, F_T(sp)
    lw t5, K(t5)
    addi a0, a0, 2
    addi a1, a1, 2*\rows
4:  andi t4, t5, 1
    beqz t4, 5f
    SHARE1 0
    .set at, 0
    \each ONE
    addi a1, a1, \rows

5:  .set at, 0
    \each END
    mv ra, a1
    lw t0, F_T(sp)
    lw a0, F_Q(sp)
    lw a1, F_Y(sp)
    lw t3, OFFSET(t0)
    lw t4, MIN(t0)
    lw t5, MAX(t0)
    addi t0, sp, F_SUMS
    addi a3, a1, \rows
6:  lw s0, 0(t0)
    CHANNEL_CONSTANTS 0
    REQUANTIZE s0, 0, a1
    addi t0, t0, 4
    addi a0, a0, 12
    addi a1, a1, 1
    bne a1, a3, 6b
    sw a0, F_Q(sp)
    sw a1, F_Y(sp)
    mv a1, ra
    lw t0, F_BLOCKS(sp)
    addi t0, t0, -1
    sw t0, F_BLOCKS(sp)
    bnez t0, 1b
    RESTORE FRAME
.endm

.macro EACH4 do
    \do s0, s1, s2, s3
.endm
.macro EACH16 do
    \do s0, s1, s2, s3
    \do s4, s5, s6, s7
    \do s8, s9, s10, s11
    \do a4, a5, a6, a7
.endm

    INTERLEAVED pe_rv32_interleaved16_s8, 16, EACH16
    INTERLEAVED pe_rv32_interleaved4_s8, 4, EACH4
