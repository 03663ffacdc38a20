/* void pe_rv32_depthwise_s8, pe_rv32_depthwise_across_s8(const pe_rv32_depthwise *t): contract in rv32.h.
 *
 * Each column of x is read once and added to the outputs that it belongs to: three in stride 1, of which the oldest is then
 * complete, one or two in stride 2. 4.0 and 4.4 instructions per MAC in long rows. The second function takes neighbours in a
 * row that lie apart, so that an image can be walked along its longer side. */
#include "kernels/rv32/macros.S"

#define X 0
#define W 4
#define Q 8
#define Y 12
#define W_ROW 16
#define W_COL 20
#define TAP_ROW 24
#define TAP_COL 28
#define STEP_ROW 32
#define STRIDE 36
#define Y_ROW 40
#define Y_COL 44
#define ROWS 48
#define COLS 52
#define OFFSET 56
#define MIN 60
#define MAX 64
#define F_X 52
#define F_Y 56
#define F_ROWS 60
#define F_T 64
#define FRAME 80

/* The element of a row of x, times three weights, to the sums of its outputs: `new` starts with the bias. */
.macro NEW at, first, row, w0, new
    lb t0, \at*(1-across)(\row)
    mul ra, t0, \w0
    .if \first
    add \new, a5, ra
    .else
    add \new, \new, ra
    .endif
.endm
.macro MORE w, sum
    mul ra, t0, \w
    add \sum, \sum, ra
.endm
/* A column: to the output that begins, and those that go on. s0 .. s8: the weights, row by row. */
.macro COLUMN1 at, new
    NEW \at, 1, a2, s0, \new
    NEW \at, 0, a3, s3, \new
    NEW \at, 0, a4, s6, \new
    NEXT
.endm
.macro COLUMN2 at, mid, new
    NEW \at, 1, a2, s0, \new
    MORE s1, \mid
    NEW \at, 0, a3, s3, \new
    MORE s4, \mid
    NEW \at, 0, a4, s6, \new
    MORE s7, \mid
    NEXT
.endm
.macro COLUMN3 at, old, mid, new
    NEW \at, 1, a2, s0, \new
    MORE s1, \mid
    MORE s2, \old
    NEW \at, 0, a3, s3, \new
    MORE s4, \mid
    MORE s5, \old
    NEW \at, 0, a4, s6, \new
    MORE s7, \mid
    MORE s8, \old
    NEXT
    OUT \old
.endm
.macro MIDDLE at, sum             /* stride 2: a column of one output */
    lb t0, \at*(1-across)(a2)
    MORE s1, \sum
    lb t0, \at*(1-across)(a3)
    MORE s4, \sum
    lb t0, \at*(1-across)(a4)
    MORE s7, \sum
    NEXT
.endm
.macro SHARED at, old, new        /* stride 2: the last column of one output, the first of the next */
    NEW \at, 1, a2, s0, \new
    MORE s2, \old
    NEW \at, 0, a3, s3, \new
    MORE s5, \old
    NEW \at, 0, a4, s6, \new
    MORE s8, \old
    NEXT
    OUT \old
.endm
.macro OUT sum
    REQUANTIZE \sum, 0, a1
    add a1, a1, a6
.endm
/* To the next column: where it lies apart, after each; else after some. */
.macro NEXT
    .if across
    add a2, a2, a0
    add a3, a3, a0
    add a4, a4, a0
    .endif
.endm
.macro ON by
    .if across == 0
    addi a2, a2, \by
    addi a3, a3, \by
    addi a4, a4, \by
    .endif
.endm

.macro DEPTHWISE name
    FUNCTION \name
    SAVE FRAME
    sw a0, F_T(sp)
    mv a7, a0
    lw t0, W(a7)
    lw t1, W_COL(a7)
    lw t2, W_ROW(a7)
    slli t3, t1, 1
    sub t2, t2, t3
    lb s0, 0(t0)
    add t0, t0, t1
    lb s1, 0(t0)
    add t0, t0, t1
    lb s2, 0(t0)
    add t0, t0, t2
    lb s3, 0(t0)
    add t0, t0, t1
    lb s4, 0(t0)
    add t0, t0, t1
    lb s5, 0(t0)
    add t0, t0, t2
    lb s6, 0(t0)
    add t0, t0, t1
    lb s7, 0(t0)
    add t0, t0, t1
    lb s8, 0(t0)
    lw a0, Q(a7)
    lw a5, 0(a0)
    CHANNEL_CONSTANTS 0
    lw t3, OFFSET(a7)
    lw t4, MIN(a7)
    lw t5, MAX(a7)
    lw a6, Y_COL(a7)
    lw a0, TAP_COL(a7)
    lw t0, X(a7)
    sw t0, F_X(sp)
    lw t0, Y(a7)
    sw t0, F_Y(sp)
    lw t0, ROWS(a7)
    sw t0, F_ROWS(sp)

1:  lw t0, F_T(sp)
    lw a2, F_X(sp)
    lw t6, TAP_ROW(t0)
    add a3, a2, t6
    add a4, a3, t6
    lw t6, STEP_ROW(t0)
    add t6, t6, a2
    sw t6, F_X(sp)
    lw a1, F_Y(sp)
    lw t6, Y_ROW(t0)
    add t6, t6, a1
    sw t6, F_Y(sp)
    lw a7, COLS(t0)
    mul a7, a7, a6
    add a7, a7, a1              /* end of the row of y */
    lw t0, STRIDE(t0)
    addi t0, t0, -1
    bnez t0, 5f

    COLUMN1 0, s9
    COLUMN2 1, s9, s10
2:  COLUMN3 2, s9, s10, s11
    beq a1, a7, 7f
    COLUMN3 3, s10, s11, s9
    beq a1, a7, 7f
    COLUMN3 4, s11, s9, s10
    ON 3
    bne a1, a7, 2b
    j 7f

5:  COLUMN1 0, s9
6:  MIDDLE 1, s9
    SHARED 2, s9, s10
    beq a1, a7, 7f
    MIDDLE 3, s10
    SHARED 4, s10, s9
    ON 4
    bne a1, a7, 6b

7:  lw t0, F_ROWS(sp)
    addi t0, t0, -1
    sw t0, F_ROWS(sp)
    bnez t0, 1b
    RESTORE FRAME
.endm

    .set across, 0
    DEPTHWISE pe_rv32_depthwise_s8
    .set across, 1
    DEPTHWISE pe_rv32_depthwise_across_s8
