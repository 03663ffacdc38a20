/* Vectors, start-up and fault entry of Cortex-M cores from Armv7-M on. The linker script gives: __stack_low,
 * __stack_top, __data_load, __data_start, __data_end, __bss_start, __bss_end; all are multiples of 4. */
    .syntax unified
    .thumb

    .section .stack, "aw", %nobits /* empty; the linker script gives it its size */
    .section .vectors, "a", %progbits
    .word __stack_top
    .word _start
    .rept 14                    /* every exception that a core has: interrupts are waited for, never taken */
    .word fault
    .endr

    .section .text._start, "ax", %progbits
    .globl _start
    .type _start, %function
    .thumb_func
_start:
    cpsid i
    ldr r0, =0xE000ED88         /* CPACR: floats, and vectors if any, on; FPSCR is right after reset */
    ldr r1, [r0]
    orr r1, r1, #0xF00000
    str r1, [r0]
    dsb
    isb
    ldr r0, =__stack_low        /* the paint by which the stack's high-water mark is found: PORT_PAINT */
    ldr r2, =__stack_top
    mov sp, r2
    ldr r1, =0xA5A5A5A5
1:  str r1, [r0], #4
    cmp r0, r2
    blo 1b
    ldr r0, =__data_load
    ldr r1, =__data_start
    ldr r2, =__data_end
2:  cmp r1, r2
    bhs 3f
    ldr r3, [r0], #4
    str r3, [r1], #4
    b 2b
3:  ldr r1, =__bss_start
    ldr r2, =__bss_end
    movs r3, #0
4:  cmp r1, r2
    bhs 5f
    str r3, [r1], #4
    b 4b
5:  bl firmware_main

    .section .text.fault, "ax", %progbits
    .type fault, %function
    .thumb_func
fault:
    mov r0, sp                  /* where the core put the frame, if it could */
    ldr r1, =__stack_top        /* what was there is lost anyway, and it may be what overflowed */
    mov sp, r1
    bl cortexm_fault
    .ltorg
