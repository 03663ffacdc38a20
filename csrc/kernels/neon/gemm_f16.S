#include "kernels/neon/macros.S"

/* Exact mode, of float x and float weights: in the loop 16 products and 2 loads of pairs for each k. */
.macro MAC sum, next, b, c, row, lane
    fmla v\sum\().4s, v\b\().4s, v\row\().s[\lane]
    fmla v\next\().4s, v\c\().4s, v\row\().s[\lane]
.endm

.macro STORE_ROW sum, next
    stp q\sum, q\next, [x5]
    add x5, x5, x6
.endm

FUNCTION pe_gemm_f16__neon_8x8
    .irp even, 16, 18, 20, 22, 24, 26, 28, 30
    ldr q\even, [x4]
    .endr
    .irp odd, 17, 19, 21, 23, 25, 27, 29, 31
    ldr q\odd, [x4, #16]
    .endr
1:  subs x0, x0, #8
    STEP 0, 8, 9, 10, 11, 32
    STEP 1, 10, 11, 8, 9, 64
    STEP 2, 8, 9, 10, 11, 96
    STEP 3, 10, 11, 8, 9, 128, 1
    STEP 0, 8, 9, 10, 11, 160
    STEP 1, 10, 11, 8, 9, 192
    STEP 2, 8, 9, 10, 11, 224
    STEP 3, 10, 11, 8, 9, , 1, 256
    b.ne 1b
    STORE_ROW 16, 17
    STORE_ROW 18, 19
    STORE_ROW 20, 21
    STORE_ROW 22, 23
    STORE_ROW 24, 25
    STORE_ROW 26, 27
    STORE_ROW 28, 29
    STORE_ROW 30, 31
END pe_gemm_f16__neon_8x8
