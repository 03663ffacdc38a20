/* void pe_armv7em_add_s8(const pe_armv7em_add *t): contract in armv7em.h. 15 instructions an element. */
#include "kernels/armv7em/macros.S"

/* r0: a, r1: b, r2: y, r3: y_end; r4 .. r11: the struct from a_offset on */
.macro ELEMENT
    ldrsb r12, [r1], #1
    ldrsb lr, [r0], #1
    add r12, r5, r12, lsl #20
    smmlar r12, r12, r6, r12
    add r12, r12, r12, asr #31
    add r12, r12, r7
    asr r12, r12, r8
    add r12, r12, r4
    add r12, r12, lr, lsl #19
    REQUANTIZE r12, r9, r10, r11
    strb r12, [r2], #1
.endm
    FUNCTION pe_armv7em_add_s8
    push {r4-r11, lr}
    mov lr, r0
    ldm lr!, {r0-r3}
    ldm lr, {r4-r11}
    vmov s0, r3
    sub r3, r3, r2
    bic r3, r3, #3
    add r3, r3, r2
    cmp r2, r3
    beq 2f
1:  .rept 4
    ELEMENT
    .endr
    cmp r2, r3
    bne 1b
2:  vmov r3, s0
    cmp r2, r3
    beq 4f
3:  ELEMENT
    cmp r2, r3
    bne 3b
4:  pop {r4-r11, pc}
