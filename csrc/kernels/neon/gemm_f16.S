#include "kernels/neon/macros.S"

/* Exact mode, of float x and float weights: for each 8 of k 128 products, 8 loads and 10 other instructions.
 *
 * v0 .. v3: x of rows 0 to 3, v4 .. v7: of rows 4 to 7, both for 4 of k; v8 .. v11: weights of two k, v12 .. v15: of the next
 * two; v16 .. v31: sums, two vectors a row. All loads are of four registers, where those four are free, each by an address
 * of its own, and all addresses move in one place: in LLVM's model of an in-order core each of these waits for the products
 * before it (bench/arm64/README.md). 64 bytes behind x and behind w are read.
 *
 * load: ld1, and a register of x has 4 of k of one row; or ld4, and it has 4 rows of one k, while the panel is the same. */
.macro MAC sum, next, b, c, x, lane
    fmla v\sum\().4s, v\b\().4s, v\x\().s[\lane]
    fmla v\next\().4s, v\c\().4s, v\x\().s[\lane]
.endm

/* Rows 0 to 3 for one of 4 k. */
.macro UPPER load, k, b, c
    .ifc \load, ld1
    MAC 16, 17, \b, \c, 0, \k
    MAC 18, 19, \b, \c, 1, \k
    MAC 20, 21, \b, \c, 2, \k
    MAC 22, 23, \b, \c, 3, \k
    .else
    MAC 16, 17, \b, \c, \k, 0
    MAC 18, 19, \b, \c, \k, 1
    MAC 20, 21, \b, \c, \k, 2
    MAC 22, 23, \b, \c, \k, 3
    .endif
.endm

/* Rows 4 to 7. x: the register of the k, if it has 4 rows. */
.macro LOWER load, k, x, b, c
    .ifc \load, ld1
    MAC 24, 25, \b, \c, 4, \k
    MAC 26, 27, \b, \c, 5, \k
    MAC 28, 29, \b, \c, 6, \k
    MAC 30, 31, \b, \c, 7, \k
    .else
    MAC 24, 25, \b, \c, \x, 0
    MAC 26, 27, \b, \c, \x, 1
    MAC 28, 29, \b, \c, \x, 2
    MAC 30, 31, \b, \c, \x, 3
    .endif
.endm

/* 4 of k. Addresses: of the lower rows and of the last two weights, and of what the next 4 begin with. */
.macro FOUR load, x_lower, w_last, w_next, x_next
    \load {v4.4s - v7.4s}, [\x_lower]
    UPPER \load, 0, 8, 9
    \load {v12.4s - v15.4s}, [\w_last]
    LOWER \load, 0, 4, 8, 9
    UPPER \load, 1, 10, 11
    LOWER \load, 1, 5, 10, 11
    UPPER \load, 2, 12, 13
    \load {v8.4s - v11.4s}, [\w_next]
    LOWER \load, 2, 6, 12, 13
    UPPER \load, 3, 14, 15
    .ifnb \x_next
    \load {v0.4s - v3.4s}, [\x_next]
    .endif
    LOWER \load, 3, 7, 14, 15
.endm

.macro STORE_ROW sum, next
    stp q\sum, q\next, [x5]
    add x5, x5, x6
.endm

.macro KERNEL name, load
FUNCTION \name
    .irp even, 16, 18, 20, 22, 24, 26, 28, 30
    ldr q\even, [x4]
    .endr
    .irp odd, 17, 19, 21, 23, 25, 27, 29, 31
    ldr q\odd, [x4, #16]
    .endr
    \load {v0.4s - v3.4s}, [x1]
    \load {v8.4s - v11.4s}, [x2]
    add x3, x1, #64
    add x7, x1, #128
    add x8, x1, #192
    add x1, x1, #256
    add x9, x2, #64
    add x10, x2, #128
    add x11, x2, #192
    add x2, x2, #256
1:  sub x0, x0, #8
    FOUR \load, x3, x9, x10, x7
    FOUR \load, x8, x11, x2
    \load {v0.4s - v3.4s}, [x1]
    .irp address, x1, x2, x3, x7, x8, x9, x10, x11
    add \address, \address, #256
    .endr
    cbnz x0, 1b
    STORE_ROW 16, 17
    STORE_ROW 18, 19
    STORE_ROW 20, 21
    STORE_ROW 22, 23
    STORE_ROW 24, 25
    STORE_ROW 26, 27
    STORE_ROW 28, 29
    STORE_ROW 30, 31
END \name
.endm

KERNEL pe_gemm_f16__neon_8x8, ld1
KERNEL pe_gemm_f16__neon_8x8_a53, ld4
