/* Start-up and trap entry of rv32 machines. The linker script gives: __global_pointer$, __stack_low, __stack_top,
 * __data_load, __data_start, __data_end, __bss_start, __bss_end; all are multiples of 4. */

    .section .stack, "aw", @nobits /* empty; the linker script gives it its size */
    .section .init, "ax"
    .globl _start
_start:
    .option push
    .option norelax
    lui t0, %hi(1f)             /* from here on where it is linked: a chip may start at an alias of its flash */
    jr %lo(1f)(t0)
1:  la gp, __global_pointer$
    .option pop
    csrci mstatus, 8            /* MIE: no interrupt is taken, whoever started this; not each core has mie */
    la t0, trap
    csrw mtvec, t0
#ifdef __riscv_flen
    li t0, 0x2000               /* mstatus.FS: floating point on */
    csrs mstatus, t0
    csrw fcsr, zero             /* round to nearest even */
#endif
#ifdef __riscv_vector
    li t0, 0x200                /* mstatus.VS: vectors on */
    csrs mstatus, t0
#endif
    la a0, __stack_low          /* the paint by which the stack's high-water mark is found: PORT_PAINT */
    la sp, __stack_top
    li a1, 0xA5A5A5A5
1:  sw a1, 0(a0)
    addi a0, a0, 4
    bltu a0, sp, 1b
    la a0, __data_load
    la a1, __data_start
    la a2, __data_end
2:  bgeu a1, a2, 3f
    lw t0, 0(a0)
    sw t0, 0(a1)
    addi a0, a0, 4
    addi a1, a1, 4
    j 2b
3:  la a1, __bss_start
    la a2, __bss_end
4:  bgeu a1, a2, 5f
    sw zero, 0(a1)
    addi a1, a1, 4
    j 4b
5:  call firmware_main

    .align 6                    /* what mtvec of the cores with CLIC or ECLIC takes */
    .globl trap
trap:
    la sp, __stack_top          /* what was there is lost anyway, and it may be what overflowed */
    csrr a0, mcause
    csrr a1, mepc
    csrr a2, mtval
    call riscv_trap
