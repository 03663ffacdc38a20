/* What the assembly of this folder shares. */
    .syntax unified
    .thumb
#ifdef __clang__
    .cpu cortex-m55 /* zig says it to its compiler only */
#endif

.macro FUNCTION name
    .section .text.\name, "ax", %progbits
    .globl \name
    .type \name, %function
    .thumb_func
    .balign 4
\name:
.endm
.macro SAVE frame
    push {r4-r11, lr}
    vpush {d8-d15}
    sub sp, sp, #\frame
.endm
.macro RESTORE frame
    add sp, sp, #\frame
    vpop {d8-d15}
    pop {r4-r11, pc}
.endm

/* \to: where the same field of four pe_channel lies, in bytes from the first; \even: a register of even number */
.macro CHANNEL_OFFSETS to, even, temp
    movs \even, #0
    movs \temp, #12
    vidup.u32 \to, \even, #1
    vmul.i32 \to, \to, \temp
.endm

/* Sums to int32 outputs before the clamp, docs/arithmetic.md: \mult has its top bit off, \right is minus the shift, which
 * is short. The first rounding gives h > -2^31; h + (h >> 31) leaves only halves to round up in the second. \one: 1 */
.macro REQUANTIZE sum, mult, right, one, zero_point
    vqrdmulh.s32 \sum, \sum, \mult
    vqdmlah.s32 \sum, \sum, \one
    vrshl.s32 \sum, \sum, \right
    vadd.i32 \sum, \sum, \zero_point
.endm
