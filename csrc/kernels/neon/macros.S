/* Micro-kernels for panels (gemm_f16.h) with 8 rows: x0: k, x1: x, x2: w, x4: bias, x5: sums, x6: bytes from row to row of
 * them. All vector registers are the kernel's. */
    .section .note.GNU-stack, "", %progbits

.macro FUNCTION name
    .section .text.\name, "ax", %progbits
    .globl \name
    .hidden \name
    .type \name, %function
    .balign 16
\name:
    stp d8, d9, [sp, #-64]!
    stp d10, d11, [sp, #16]
    stp d12, d13, [sp, #32]
    stp d14, d15, [sp, #48]
.endm

.macro END name
    ldp d10, d11, [sp, #16]
    ldp d12, d13, [sp, #32]
    ldp d14, d15, [sp, #48]
    ldp d8, d9, [sp], #64
    ret
    .size \name, . - \name
.endm
