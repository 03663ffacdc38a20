/* void pe_rv32_linear8_s8(const pe_rv32_linear *t): contract in rv32.h.
 *
 * Eight rows of w against one of x: of three instructions per MAC, none is for x. */
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
#define F_T 52
#define F_W 56
#define F_Q 60
#define F_Y 64
#define F_BLOCKS 68
#define FRAME 80

/* Of eight sums and pointers to rows of w. */
.macro EACH do
    \do s0, a0
    \do s1, a1
    \do s2, a2
    \do s3, a3
    \do s4, a4
    \do s5, a5
    \do s6, a6
    \do s7, a7
.endm
.macro BEGIN sum, w
    lw \sum, 12*r(t6)
    mv \w, t0
    add t0, t0, t5
    .set r, r + 1
.endm
.macro STEP sum, w
    lb t6, k(\w)
    mul t6, t6, t0
    add \sum, \sum, t6
.endm
.macro ON sum, w
    addi \w, \w, k
.endm
.macro END sum, w
    CHANNEL_CONSTANTS 12*r
    REQUANTIZE \sum, r, a1
    .set r, r + 1
.endm

    FUNCTION pe_rv32_linear8_s8
    SAVE FRAME
    sw a0, F_T(sp)
    lw t0, W(a0)
    sw t0, F_W(sp)
    lw t0, Q(a0)
    sw t0, F_Q(sp)
    lw t0, Y(a0)
    sw t0, F_Y(sp)
    lw t0, BLOCKS(a0)
    sw t0, F_BLOCKS(sp)

1:  lw t6, F_Q(sp)
    lw ra, F_T(sp)
    lw t0, F_W(sp)
    lw t5, K(ra)
    .set r, 0
    EACH BEGIN
    lw t0, X(ra)
    andi ra, t5, -8
    add ra, ra, t0              /* the end of whole steps of 8 */
    mv t5, t0
    beq t5, ra, 3f
2:  .set k, 0
    .rept 8
    lb t0, k(t5)
    EACH STEP
    .set k, k + 1
    .endr
    .set k, 8
    EACH ON
    addi t5, t5, 8
    bne t5, ra, 2b
3:  lw t0, F_T(sp)
    lw ra, X(t0)
    lw t0, K(t0)
    add ra, ra, t0
    beq t5, ra, 5f
4:  lb t0, 0(t5)
    .set k, 0
    EACH STEP
    .set k, 1
    EACH ON
    addi t5, t5, 1
    bne t5, ra, 4b

5:  sw a7, F_W(sp)              /* past the last row: the next block */
    lw t0, F_T(sp)
    lw a0, F_Q(sp)
    lw a1, F_Y(sp)
    lw t3, OFFSET(t0)
    lw t4, MIN(t0)
    lw t5, MAX(t0)
    .set r, 0
    EACH END
    addi a0, a0, 12*8
    sw a0, F_Q(sp)
    addi a1, a1, 8
    sw a1, F_Y(sp)
    lw t0, F_BLOCKS(sp)
    addi t0, t0, -1
    sw t0, F_BLOCKS(sp)
    bnez t0, 1b
    RESTORE FRAME
