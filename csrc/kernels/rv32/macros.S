/* What the assembly of this folder shares. */
    .option norelax
    .text

.macro FUNCTION name
    .section .text.\name, "ax"
    .globl \name
    .type \name, @function
    .balign 4
\name:
.endm

.macro SAVE frame
    addi sp, sp, -\frame
    sw ra, 0(sp)
    .irp r, 0,1,2,3,4,5,6,7,8,9,10,11
    sw s\r, 4+4*\r(sp)
    .endr
.endm

.macro RESTORE frame
    lw ra, 0(sp)
    .irp r, 0,1,2,3,4,5,6,7,8,9,10,11
    lw s\r, 4+4*\r(sp)
    .endr
    addi sp, sp, \frame
    ret
.endm

/* pe_requantize_s8_short (ops/requantize.h) of a sum, stored to \at(\to); t1, t2: twice the multiplier and shift - 1 of the
 * channel; t3, t4, t5: offset, min, max of the output. */
.macro CHANNEL_CONSTANTS at     /* a0: pe_channel */
    lw t1, \at+4(a0)
    lw t2, \at+8(a0)
    slli t1, t1, 1
    addi t2, t2, -1
.endm
.macro REQUANTIZE v, at, to
    mul t6, \v, t1
    mulhsu \v, \v, t1
    srli t6, t6, 31
    add \v, \v, t6
    srai t6, \v, 31
    add \v, \v, t6
    sra \v, \v, t2
    add \v, \v, t3
    srai \v, \v, 1
    bge \v, t4, 97f
    mv \v, t4
97: bge t5, \v, 98f
    mv \v, t5
98: sb \v, \at(\to)
.endm
