    .arch armv8.2-a+fp16
#include "kernels/neon/macros.S"

/* fast16: in the loop 16 products of 8 lanes and 1.5 loads of pairs for each k; after 32 of them 6 instructions for each
 * vector of sums, which join the float sums in memory.
 *
 * v0 .. v7: x of the rows, v8 .. v11: weights of this k and of the next, v16 .. v31: sums, two vectors a row. Loads stand
 * between products that do not wait for them, those of the next round too, so 128 bytes behind x are read and 32 behind w. */
.macro MAC sum, next, b, c, row, lane
    fmla v\sum\().8h, v\b\().8h, v\row\().h[\lane]
    fmla v\next\().8h, v\c\().8h, v\row\().h[\lane]
.endm

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

/* Adds the float16 sums of half a row to those at `from`, which become its float sums at x8 + \at. */
.macro FLUSH_HALF sum, from, at
    ldp q12, q13, [\from, #\at]
    fcvtl v10.4s, v\sum\().4h
    fcvtl2 v11.4s, v\sum\().8h
    fadd v12.4s, v12.4s, v10.4s
    fadd v13.4s, v13.4s, v11.4s
    stp q12, q13, [x8, #\at]
.endm

.macro FLUSH_ROW sum, next, from
    FLUSH_HALF \sum, \from, 0
    FLUSH_HALF \next, \from, 32
    add x8, x8, x6
.endm

.macro FLUSH from
    mov x8, x5
    FLUSH_ROW 16, 17, \from
    FLUSH_ROW 18, 19, \from
    FLUSH_ROW 20, 21, \from
    FLUSH_ROW 22, 23, \from
    FLUSH_ROW 24, 25, \from
    FLUSH_ROW 26, 27, \from
    FLUSH_ROW 28, 29, \from
    FLUSH_ROW 30, 31, \from
.endm

/* The next 32 of k, or what is left of it. */
.macro RUN
    .irp sum, v16.2d, v17.2d, v18.2d, v19.2d, v20.2d, v21.2d, v22.2d, v23.2d
    movi \sum, #0
    .endr
    .irp sum, v24.2d, v25.2d, v26.2d, v27.2d, v28.2d, v29.2d, v30.2d, v31.2d
    movi \sum, #0
    .endr
    cmp x0, x7
    csel x3, x0, x7, lo
    sub x0, x0, x3
1:  subs x3, x3, #8
    STEP 0, 8, 9, 10, 11, 32
    STEP 1, 10, 11, 8, 9, 64
    STEP 2, 8, 9, 10, 11, 96
    STEP 3, 10, 11, 8, 9, 128
    STEP 4, 8, 9, 10, 11, 160
    STEP 5, 10, 11, 8, 9, 192
    STEP 6, 8, 9, 10, 11, 224
    STEP 7, 10, 11, 8, 9, , 1, 256
    b.ne 1b
.endm

FUNCTION pe_gemm_fast16__fp16_8x16
    ldp q0, q1, [x1], #128
    ldp q2, q3, [x1, #-96]
    ldp q4, q5, [x1, #-64]
    ldp q6, q7, [x1, #-32]
    ldp q8, q9, [x2]
    mov x7, #32 /* PE_FAST16_RUN */
    RUN
    FLUSH x4
    cbz x0, 3f
2:  RUN
    FLUSH x8
    cbnz x0, 2b
3:
END pe_gemm_fast16__fp16_8x16
