/* void pe_rv32_depthwise_s8(const pe_rv32_depthwise *t): contract in rv32.h.
 *
 * Each column of x is read once and added to the outputs that it belongs to: three in stride 1, of which the oldest is then
 * complete, one or two in stride 2. 4.0 and 4.4 instructions per MAC in long rows. */
#include "kernels/rv32/macros.S"

#define X 0
#define W 4
#define Q 8
#define Y 12
#define W_STRIDE 16
#define TAP_ROW 20
#define STEP_ROW 24
#define STEP_COL 28
#define Y_STRIDE 32
#define ROWS 36
#define COLS 40
#define OFFSET 44
#define MIN 48
#define MAX 52
#define F_X 52
#define F_ROWS 56
#define FRAME 64

/* The element of a row of x, times three weights, to the sums of its outputs: `new` starts with the bias. */
.macro NEW at, first, row, w0, new
    lb t0, \at(\row)
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
.endm
.macro COLUMN2 at, mid, new
    NEW \at, 1, a2, s0, \new
    MORE s1, \mid
    NEW \at, 0, a3, s3, \new
    MORE s4, \mid
    NEW \at, 0, a4, s6, \new
    MORE s7, \mid
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
    OUT \old
.endm
.macro MIDDLE at, sum             /* stride 2: a column of one output */
    lb t0, \at(a2)
    MORE s1, \sum
    lb t0, \at(a3)
    MORE s4, \sum
    lb t0, \at(a4)
    MORE s7, \sum
.endm
.macro SHARED at, old, new        /* stride 2: the last column of one output, the first of the next */
    NEW \at, 1, a2, s0, \new
    MORE s2, \old
    NEW \at, 0, a3, s3, \new
    MORE s5, \old
    NEW \at, 0, a4, s6, \new
    MORE s8, \old
    OUT \old
.endm
.macro OUT sum
    REQUANTIZE \sum, 0, a1
    add a1, a1, a6
.endm
.macro ON by
    addi a2, a2, \by
    addi a3, a3, \by
    addi a4, a4, \by
.endm

    FUNCTION pe_rv32_depthwise_s8
    SAVE FRAME
    mv a7, a0
    lw t0, W(a7)
    lw t1, W_STRIDE(a7)
    .irp r, s0, s1, s2, s3, s4, s5, s6, s7
    lb \r, 0(t0)
    add t0, t0, t1
    .endr
    lb s8, 0(t0)
    lw a0, Q(a7)
    lw a5, 0(a0)
    CHANNEL_CONSTANTS 0
    lw t3, OFFSET(a7)
    lw t4, MIN(a7)
    lw t5, MAX(a7)
    lw a6, Y_STRIDE(a7)
    lw a1, Y(a7)
    mv a0, a7
    lw t0, X(a0)
    sw t0, F_X(sp)
    lw t0, ROWS(a0)
    sw t0, F_ROWS(sp)

1:  lw a2, F_X(sp)
    lw t0, TAP_ROW(a0)
    lw ra, STEP_ROW(a0)
    add a3, a2, t0
    add a4, a3, t0
    add ra, ra, a2
    sw ra, F_X(sp)
    lw t0, COLS(a0)
    mul a7, t0, a6
    add a7, a7, a1              /* end of the row of y */
    lw t0, STEP_COL(a0)
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
