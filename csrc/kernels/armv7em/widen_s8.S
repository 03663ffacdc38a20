/* The forms in which the kernels of this folder read x; contracts in armv7em.h. */
#include "kernels/armv7em/macros.S"

.macro PAIRS4 rotation:vararg
    sxtb16 r8, r4 \rotation
    sxtb16 r9, r5 \rotation
    sxtb16 r10, r6 \rotation
    sxtb16 r11, r7 \rotation
    stm r12!, {r8-r11}
.endm
.macro QUAD4
    ldr r4, [r0], #4
    ldr r5, [r1], #4
    ldr r6, [r2], #4
    ldr r7, [r3], #4
    PAIRS4
    PAIRS4 , ror #8
.endm
    FUNCTION pe_armv7em_widen4
    push {r4-r11, lr}
    mov r12, r1
    mov lr, r2
    ldm r0, {r0-r3}
    subs lr, lr, #8
    blo 2f
1:  QUAD4
    QUAD4
    subs lr, lr, #8
    bhs 1b
2:  adds lr, lr, #4             /* elements left, less 4 */
    bmi 3f
    QUAD4
    subs lr, lr, #4
3:  adds lr, lr, #4
    beq 5f
4:  ldrsb r4, [r0], #1
    ldrsb r5, [r1], #1
    ldrsb r6, [r2], #1
    ldrsb r7, [r3], #1
    pkhbt r4, r4, r5, lsl #16
    pkhbt r5, r6, r7, lsl #16
    stm r12!, {r4, r5}
    subs lr, lr, #1
    bne 4b
5:  mov r0, r12
    pop {r4-r11, pc}

    FUNCTION pe_armv7em_widen1
    push {r4-r6, lr}
    subs r2, r2, #8
    blo 2f
1:  ldr r3, [r0], #4
    ldr r5, [r0], #4
    sxtb16 r12, r3
    sxtb16 r3, r3, ror #8
    sxtb16 r4, r5
    sxtb16 r5, r5, ror #8
    strd r12, r3, [r1], #8
    strd r4, r5, [r1], #8
    subs r2, r2, #8
    bhs 1b
2:  adds r2, r2, #4
    bmi 3f
    ldr r3, [r0], #4
    sxtb16 r12, r3
    sxtb16 r3, r3, ror #8
    strd r12, r3, [r1], #8
    subs r2, r2, #4
3:  adds r2, r2, #4
    beq 5f
4:  ldrsb r3, [r0], #1
    strh r3, [r1], #2
    subs r2, r2, #1
    bne 4b
5:  pop {r4-r6, pc}
