    .syntax unified
    .thumb
    .section .vectors, "a", %progbits
    .word stack_top
    .word _start
    .rept 14
    .word trap
    .endr

    .section .text._start, "ax", %progbits
    .globl _start
    .type _start, %function
    .thumb_func
_start:
    ldr r0, =0xE000ED88         /* CPACR: floats on */
    ldr r1, [r0]
    orr r1, r1, #0xF00000
    str r1, [r0]
    dsb
    isb
    bl main                     /* ends the emulator; memory starts as zeros */
1:  b 1b

    .section .text.exit_emulator, "ax", %progbits
    .globl exit_emulator
    .type exit_emulator, %function
    .thumb_func
exit_emulator:                  /* semihosting, SYS_EXIT: 0x20026 is a good end */
    cmp r0, #0
    ldr r1, =0x20026
    it ne
    movne r1, #0
    movs r0, #0x18
    bkpt 0xAB
    b exit_emulator
    .ltorg
