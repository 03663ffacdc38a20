/* The inner loop of micro-kernels for panels (gemm_f16.h) with 8 rows: x0: k, x1: x, x2: w, x4: bias, x5: sums,
 * x6: bytes from row to row of them.
 *
 * v0 .. v7: x of the rows, v8 .. v11: weights of this step and of the next, v16 .. v31: sums, two vectors a row. Loads stand
 * between products that do not wait for them, those of the next round too, so 128 bytes behind x are read and 32 behind w.
 * A kernel says what its products are:
 *
 * MAC sum, next, b, c, row, lane: both vectors of a row take weights v\b and v\c times the lane of x. */
    .section .note.GNU-stack, "", %progbits

/* One k by weights v\b, v\c. The next ones are loaded from `at` past x2, or step_w past it, where x2 goes. is_last: of the
 * registers of x; the next ones are loaded. */
.macro STEP lane, b, c, next_b, next_c, at, is_last=0, step_w
    MAC 16, 17, \b, \c, 0, \lane
    .ifb \step_w
    ldp q\next_b, q\next_c, [x2, #\at]
    .else
    ldp q\next_b, q\next_c, [x2, #\step_w]!
    .endif
    MAC 18, 19, \b, \c, 1, \lane
    .if \is_last
    ldp q0, q1, [x1], #128
    .endif
    MAC 20, 21, \b, \c, 2, \lane
    MAC 22, 23, \b, \c, 3, \lane
    .if \is_last
    ldp q2, q3, [x1, #-96]
    .endif
    MAC 24, 25, \b, \c, 4, \lane
    MAC 26, 27, \b, \c, 5, \lane
    .if \is_last
    ldp q4, q5, [x1, #-64]
    .endif
    MAC 28, 29, \b, \c, 6, \lane
    MAC 30, 31, \b, \c, 7, \lane
    .if \is_last
    ldp q6, q7, [x1, #-32]
    .endif
.endm

.macro FUNCTION name
    .section .text.\name, "ax", %progbits
    .globl \name
    .hidden \name
    .type \name, %function
    .balign 16
\name:
    stp d8, d9, [sp, #-48]!
    stp d10, d11, [sp, #16]
    stp d12, d13, [sp, #32]
    ldp q0, q1, [x1], #128
    ldp q2, q3, [x1, #-96]
    ldp q4, q5, [x1, #-64]
    ldp q6, q7, [x1, #-32]
    ldp q8, q9, [x2]
.endm

.macro END name
    ldp d10, d11, [sp, #16]
    ldp d12, d13, [sp, #32]
    ldp d8, d9, [sp], #48
    ret
    .size \name, . - \name
.endm
