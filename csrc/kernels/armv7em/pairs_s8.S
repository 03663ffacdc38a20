/* void pe_armv7em_pairs_s8(const pe_armv7em_pairs *t): contract in armv7em.h.
 *
 * Four pixels by two rows of w. SMLAD of a mixed word sums 256 * s1 + s0, of its SXTB16 s0, so 12 instructions do 16 MACs. 256 * s1
 * has 32 bits, enough for 511 products: after each CHUNK it is put aside. What does not fit into r0 .. r12, lr is in float
 * registers. */
#include "kernels/armv7em/macros.S"

#define X s0
#define Q s1
#define Y s2
#define Y_STRIDE s3
#define PAIRS s4
#define OFFSET s5
#define FIRST s6
#define ENTRY s7
#define REST s8
#define W s9                    /* then: where the chunk ends */
#define SUMS s10
#define CHUNKS s11
#define CHUNK_BYTES 896

/* r0: w, r1: x, r2 .. r5: 256 * s1 + s0 of four pixels, r6 .. r9: s0 */
.macro STEP
    ldr r10, [r0], #4
    ldrd r12, lr, [r1], #8
    sxtb16 r11, r10
    smlad r2, r12, r10, r2
    smlad r6, r12, r11, r6
    smlad r3, lr, r10, r3
    smlad r7, lr, r11, r7
    ldrd r12, lr, [r1], #8
    smlad r4, r12, r10, r4
    smlad r8, r12, r11, r8
    smlad r5, lr, r10, r5
    smlad r9, lr, r11, r9
.endm
.macro EACH_PIXEL do
    \do r2, r6, s12
    \do r3, r7, s13
    \do r4, r8, s14
    \do r5, r9, s15
.endm
.macro UNMIX mixed, sum, aside
    sub \mixed, \mixed, \sum
    add \mixed, r12, \mixed, asr #8
.endm
.macro CLEAR mixed, sum, aside
    vmov \aside, r10
.endm
.macro PUT_ASIDE mixed, sum, aside
    sub \mixed, \mixed, \sum
    vmov r11, \aside
    add r11, r11, \mixed, asr #8
    vmov \aside, r11
    mov \mixed, \sum
.endm
.macro TAKE_BACK mixed, sum, aside
    sub \mixed, \mixed, \sum
    vmov r11, \aside
    add r11, r11, r12
    add \mixed, r11, \mixed, asr #8
    vmov \aside, r10
.endm
.macro REQUANTIZE_1 mixed, sum, aside
    REQUANTIZE \mixed, r10, r11, r12
.endm
.macro REQUANTIZE_0 mixed, sum, aside
    REQUANTIZE \sum, r10, r11, r12
    bfi \sum, \mixed, #8, #8
.endm

    FUNCTION pe_armv7em_pairs_s8
    push {r4-r11, lr}
    vldm r0, {s0-s10}
    vmov r0, W
    adr r10, 2f
    vmov r11, ENTRY
    add r10, r10, r11
    add r10, r10, #1
    vmov ENTRY, r10
    vmov r11, REST
    ubfx r11, r11, #2, #16
    vmov CHUNKS, r11
    mov r10, #0
    EACH_PIXEL CLEAR

1:  vmov r10, Q
    ldr r6, [r10]               /* the bias of the first row starts both sums */
    vmov r11, FIRST
    add r11, r11, r0
    vmov W, r11
    vmov r1, X
    mov r2, r6
    mov r3, r6
    mov r4, r6
    mov r5, r6
    mov r7, r6
    mov r8, r6
    mov r9, r6
    vmov r10, ENTRY
    bx r10
    .balign 4
2:  .rept 16
    STEP
    .endr
    vmov r10, W
    cmp r0, r10
    bne 2b
    vmov r10, REST
    cmp r10, #0
    bne 5f
9:  vmov lr, Q
    ldr r12, [lr, #12]
    EACH_PIXEL UNMIX

3:  CHANNEL lr, 12, r10, r11
    vmov r12, OFFSET
    EACH_PIXEL REQUANTIZE_1
    CHANNEL lr, 0, r10, r11
    EACH_PIXEL REQUANTIZE_0
    add lr, lr, #24
    vmov Q, lr
    vmov r10, Y
    vmov r11, Y_STRIDE
    strh r6, [r10]
    strh r7, [r10, r11]
    add r12, r10, r11, lsl #1
    strh r8, [r12]
    strh r9, [r12, r11]
    add r10, r10, #2
    vmov Y, r10
4:  vmov r10, PAIRS
    subs r10, r10, #1
    vmov PAIRS, r10
    bne 1b
    pop {r4-r11, pc}

5:  vmov r11, CHUNKS
    cmp r11, #0
    beq 6f
    sub r11, r11, #1
    vmov CHUNKS, r11
    EACH_PIXEL PUT_ASIDE
    vmov r11, W
    add r11, r11, #CHUNK_BYTES
    vmov W, r11
    b 2b
6:  ands r10, r10, #3
    beq 8f
    vmov CHUNKS, r10
7:  ldrsh r10, [r0], #2         /* what is left of k */
    ldrd r12, lr, [r1], #8
    sxtb r11, r10
    smlabb r2, r12, r10, r2
    smlabb r6, r12, r11, r6
    smlatb r3, r12, r10, r3
    smlatb r7, r12, r11, r7
    smlabb r4, lr, r10, r4
    smlabb r8, lr, r11, r8
    smlatb r5, lr, r10, r5
    smlatb r9, lr, r11, r9
    vmov r10, CHUNKS
    subs r10, r10, #1
    vmov CHUNKS, r10
    bne 7b
8:  vmov r10, REST
    cmp r10, #4
    blo 9b                      /* one chunk, and no sums */
    ubfx r11, r10, #2, #16
    vmov CHUNKS, r11
    vmov lr, Q
    ldr r12, [lr, #12]
    mov r10, #0
    EACH_PIXEL TAKE_BACK
    vmov r10, SUMS
    cmp r10, #0
    beq 3b
    stm r10!, {r2-r9}
    pop {r4-r11, pc}
