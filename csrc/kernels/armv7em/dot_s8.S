/* Sums of products of int8 rows: contract in gemm_s8.c. k is taken by fours, what is left is not.
 *
 * Of four neighbours, SXTB16 widens the first and third, and the second and fourth, to pairs of 16 bits; SMLAD adds two
 * products. Two rows by two take 20 instructions for 16 products, one by four 23. (Of C, compilers spill pointers.) */
    .syntax unified
    .thumb
    .cpu cortex-m4

/* Where whole steps of 16 and of 4 end in the row at \row: to 0 and 4 of the frame. k: r1 */
.macro ENDS row
    ldr r12, [\row]
    bic lr, r1, #15
    add lr, lr, r12
    str lr, [sp]
    bic lr, r1, #3
    add lr, lr, r12
    str lr, [sp, #4]
.endm

.macro FUNCTION name
    .section .text.\name, "ax", %progbits
    .globl \name
    .type \name, %function
    .thumb_func
    .balign 4
\name:
    push {r2, r4-r11, lr}
    sub sp, sp, #8
    ENDS r0
.endm
.macro LOOP step
    b 2f
1:  .rept 4
    \step
    .endr
2:  ldr lr, [sp]
    cmp r0, lr
    bne 1b
    b 4f
3:  \step
4:  ldr lr, [sp, #4]
    cmp r0, lr
    bne 3b
    add sp, sp, #8
    pop {r12}
.endm

/* r0, r1: rows of x; r2, r3: of w; r4 .. r7: sums */
.macro COLUMN2 row, sum0, sum1
    ldr r12, [\row], #4
    sxtb16 lr, r12
    sxtb16 r12, r12, ror #8
    smlad \sum0, r8, lr, \sum0
    smlad \sum1, r10, lr, \sum1
    smlad \sum0, r9, r12, \sum0
    smlad \sum1, r11, r12, \sum1
.endm
.macro STEP_2X2
    ldr r8, [r0], #4
    ldr r10, [r1], #4
    sxtb16 r9, r8, ror #8
    sxtb16 r8, r8
    sxtb16 r11, r10, ror #8
    sxtb16 r10, r10
    COLUMN2 r2, r4, r6
    COLUMN2 r3, r5, r7
.endm
    FUNCTION pe_armv7em_dot_2x2
    ldm r0, {r0-r3}
    movs r4, #0
    movs r5, #0
    movs r6, #0
    movs r7, #0
    LOOP STEP_2X2
    stm r12, {r4-r7}
    pop {r4-r11, pc}

/* r0: row of x; r1 .. r4: of w; r5 .. r8: sums */
.macro COLUMN1 row, sum
    ldr r11, [\row], #4
    sxtb16 r12, r11
    sxtb16 r11, r11, ror #8
    smlad \sum, r9, r12, \sum
    smlad \sum, r10, r11, \sum
.endm
.macro STEP_1X4
    ldr r9, [r0], #4
    sxtb16 r10, r9, ror #8
    sxtb16 r9, r9
    COLUMN1 r1, r5
    COLUMN1 r2, r6
    COLUMN1 r3, r7
    COLUMN1 r4, r8
.endm
    FUNCTION pe_armv7em_dot_1x4
    ldm r0, {r0-r4}
    movs r5, #0
    movs r6, #0
    movs r7, #0
    mov r8, #0
    LOOP STEP_1X4
    stm r12, {r5-r8}
    pop {r4-r11, pc}
