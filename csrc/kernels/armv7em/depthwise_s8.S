/* void pe_armv7em_planes_s8(const pe_armv7em_planes *t), pe_armv7em_depthwise1_s8, pe_armv7em_depthwise2_s8(const
 * pe_armv7em_depthwise *t): contracts in armv7em.h. What a row begins with is in float registers. */
#include "kernels/armv7em/macros.S"

/* Two pixels of four channels to four planes: 16 instructions for 8 elements. */
.macro PAIR
    ldr r6, [r0]
    ldr r7, [r0, r1]
    add r0, r0, r1, lsl #1
    sxtb16 r8, r6
    sxtb16 r9, r7
    sxtb16 r6, r6, ror #8
    sxtb16 r7, r7, ror #8
    pkhbt r10, r8, r9, lsl #16
    pkhtb r11, r9, r8, asr #16
    pkhbt r12, r6, r7, lsl #16
    pkhtb r6, r7, r6, asr #16
    str r10, [r2], #4
    str r12, [r3], #4
    str r11, [r4], #4
    str r6, [r5], #4
.endm

    FUNCTION pe_armv7em_planes_s8
    push {r4-r11, lr}
    vldm r0, {s0-s7}            /* x, x_row, x_col, to, to_row, plane, cols, rows */
    vmov r1, s2
1:  vmov r0, s0
    vmov r2, s3
    vmov r6, s5
    vmov lr, s6
    add r3, r2, r6
    add r4, r3, r6
    add r5, r4, r6
    subs lr, lr, #4
    blo 3f
2:  PAIR
    PAIR
    subs lr, lr, #4
    bhs 2b
3:  adds lr, lr, #2             /* columns left, less 2 */
    bmi 4f
    PAIR
    sub lr, lr, #2
4:  adds lr, lr, #2
    beq 5f
    ldr r6, [r0]
    sxtb16 r8, r6
    sxtb16 r9, r6, ror #8
    asr r10, r8, #16
    asr r11, r9, #16
    strh r8, [r2]
    strh r9, [r3]
    strh r10, [r4]
    strh r11, [r5]
5:  vmov r0, s0
    vmov r6, s1
    vmov r2, s3
    vmov r7, s4
    vmov lr, s7
    add r0, r0, r6
    add r2, r2, r7
    subs lr, lr, #1
    vmov s0, r0
    vmov s3, r2
    vmov s7, lr
    bne 1b
    pop {r4-r11, pc}

/* r0: table; r1, r2, r3: rows of x; r4 .. r7: sums of four outputs, lr: where they go */
.macro TAPS1 row
    ldrd r8, r9, [r0, #8*(\row - 1)]
    ldrd r10, r11, [r\row], #8
    ldr r12, [r\row]
    smlad r4, r10, r8, r4
    smlabt r4, r11, r9, r4
    smlatb r5, r10, r8, r5
    smlad r5, r11, r9, r5
    smlad r6, r11, r8, r6
    smlabt r6, r12, r9, r6
    smlatb r7, r11, r8, r7
    smlad r7, r12, r9, r7
.endm
.macro TAPS2 row
    ldrd r8, r9, [r0, #8*(\row - 1)]
    ldrd r10, r11, [r\row], #8
    smlad r4, r10, r8, r4
    smlabt r4, r11, r9, r4
    smlad r5, r11, r8, r5
    ldrd r10, r11, [r\row], #8
    ldr r12, [r\row]
    smlabt r5, r10, r9, r5
    smlad r6, r10, r8, r6
    smlabt r6, r11, r9, r6
    smlad r7, r11, r8, r7
    smlabt r7, r12, r9, r7
.endm
.macro DEPTHWISE stride
    FUNCTION pe_armv7em_depthwise\stride\()_s8
    push {r4-r11, lr}
    vldm r0, {s0-s7}            /* x, tap_row, step_row, y, y_row, cols, rows, bias */
    add r0, r0, #32
1:  vmov r1, s0
    vmov r4, s1
    vmov r5, s2
    vmov lr, s3
    vmov r6, s5
    add r2, r1, r4
    add r3, r2, r4
    add r5, r5, r1
    vmov s0, r5
    vmov s8, r6
2:  vmov r4, s7
    mov r5, r4
    mov r6, r4
    mov r7, r4
    TAPS\stride 1
    TAPS\stride 2
    TAPS\stride 3
    ldrd r8, r9, [r0, #24]
    ldrd r10, r11, [r0, #32]
    REQUANTIZE r4, r8, r9, r10
    REQUANTIZE r5, r8, r9, r10
    REQUANTIZE r6, r8, r9, r10
    REQUANTIZE r7, r8, r9, r10
    vmov r12, s8
    subs r12, r12, #4
    vmov s8, r12
    blt 3f
    strb r4, [lr]
    strb r5, [lr, r11]
    add lr, lr, r11, lsl #1
    strb r6, [lr]
    strb r7, [lr, r11]
    add lr, lr, r11, lsl #1
    bne 2b
    b 4f
3:  strb r4, [lr]               /* one to three columns are left: 4 + r12 */
    cmp r12, #-3
    beq 4f
    strb r5, [lr, r11]
    cmp r12, #-2
    beq 4f
    add lr, lr, r11, lsl #1
    strb r6, [lr]
4:  vmov r4, s3
    vmov r5, s4
    vmov r6, s6
    add r4, r4, r5
    subs r6, r6, #1
    vmov s3, r4
    vmov s6, r6
    bne 1b
    pop {r4-r11, pc}
.endm
    DEPTHWISE 1
    DEPTHWISE 2
