/* int8_t *pe_armv7em_linear_s8(const pe_armv7em_linear *t): contract in armv7em.h.
 *
 * One row of x by four rows of w: two mixed pairs, word by word in turn, so that 14 instructions do 16 MACs. Otherwise as
 * pairs_s8.S. Whether channels are fast is seen only when they are requantized: else the caller begins again. */
#include "kernels/armv7em/macros.S"

#define X s0
#define Q s1
#define Y s2
#define Y_END s3
#define OFFSET s4
#define FIRST s5
#define ENTRY s6
#define REST s7
#define W s8
#define SUMS s9
#define CHUNKS s10
#define ASIDE1 s11
#define ASIDE3 s12
#define CHUNK_BYTES 1792

/* r0: w, r1: x, r2, r4: 256 * s1 + s0 of two pairs, r3, r5: s0, lr: where the chunk ends */
.macro STEP
    ldm r0!, {r6-r9}
    ldrd r10, r11, [r1], #8
    sxtb16 r12, r6
    smlad r2, r10, r6, r2
    smlad r3, r10, r12, r3
    sxtb16 r12, r7
    smlad r4, r10, r7, r4
    smlad r5, r10, r12, r5
    sxtb16 r12, r8
    smlad r2, r11, r8, r2
    smlad r3, r11, r12, r3
    sxtb16 r12, r9
    smlad r4, r11, r9, r4
    smlad r5, r11, r12, r5
.endm

    FUNCTION pe_armv7em_linear_s8
    push {r4-r11, lr}
    vldm r0, {s0-s9}
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
    vmov ASIDE1, r10
    vmov ASIDE3, r10

1:  vmov r12, Q
    ldr r3, [r12]
    ldr r5, [r12, #24]
    mov r2, r3
    mov r4, r5
    vmov r1, X
    vmov lr, FIRST
    add lr, lr, r0
    vmov r6, ENTRY
    bx r6
    .balign 4
2:  .rept 16
    STEP
    .endr
    cmp r0, lr
    bne 2b
    vmov r10, REST
    cmp r10, #0
    bne 5f
9:  vmov lr, Q
    ldr r6, [lr, #12]
    ldr r7, [lr, #36]
    sub r2, r2, r3
    sub r4, r4, r5
    add r2, r6, r2, asr #8
    add r4, r7, r4, asr #8

3:  vmov r12, OFFSET
    CHANNEL lr, 0, r6, r7
    CHANNEL lr, 12, r8, r9
    and r10, r6, r8
    orr r11, r7, r9
    REQUANTIZE r3, r6, r7, r12
    REQUANTIZE r2, r8, r9, r12
    bfi r3, r2, #8, #8
    CHANNEL lr, 24, r6, r7
    CHANNEL lr, 36, r8, r9
    and r10, r10, r6
    orr r11, r11, r7
    and r10, r10, r8
    orr r11, r11, r9
    REQUANTIZE r5, r6, r7, r12
    REQUANTIZE r4, r8, r9, r12
    cmp r10, #0                 /* all multipliers are 2^30 or more */
    bpl 4f
    cmp r11, #31                /* all shifts are 1 .. 31 */
    bhs 4f
    bfi r3, r5, #16, #8
    bfi r3, r4, #24, #8
    add lr, lr, #48
    vmov Q, lr
    vmov r6, Y
    str r3, [r6], #4
    vmov Y, r6
    vmov r7, Y_END
    cmp r6, r7
    bne 1b
4:  vmov r0, Y
    pop {r4-r11, pc}

5:  vmov r11, CHUNKS
    cmp r11, #0
    beq 6f
    sub r11, r11, #1
    vmov CHUNKS, r11
    sub r2, r2, r3
    sub r4, r4, r5
    vmov r6, ASIDE1
    vmov r7, ASIDE3
    add r6, r6, r2, asr #8
    add r7, r7, r4, asr #8
    vmov ASIDE1, r6
    vmov ASIDE3, r7
    mov r2, r3
    mov r4, r5
    add lr, lr, #CHUNK_BYTES
    b 2b
6:  ands lr, r10, #3
    beq 8f
7:  ldr r6, [r0], #4            /* what is left of k */
    ldrsh r10, [r1], #2
    sxtb16 r12, r6
    smlabb r2, r10, r6, r2
    smlabb r3, r10, r12, r3
    smlabt r4, r10, r6, r4
    smlabt r5, r10, r12, r5
    subs lr, lr, #1
    bne 7b
8:  vmov r10, REST
    cmp r10, #4
    blo 9b                      /* one chunk, and no sums */
    ubfx r11, r10, #2, #16
    vmov CHUNKS, r11
    vmov lr, Q
    ldr r6, [lr, #12]
    ldr r7, [lr, #36]
    vmov r8, ASIDE1
    vmov r9, ASIDE3
    sub r2, r2, r3
    sub r4, r4, r5
    add r6, r6, r8
    add r7, r7, r9
    add r2, r6, r2, asr #8
    add r4, r7, r4, asr #8
    mov r10, #0
    vmov ASIDE1, r10
    vmov ASIDE3, r10
    vmov r10, SUMS
    cmp r10, #0
    beq 3b
    stm r10, {r2-r5}
    b 4b
