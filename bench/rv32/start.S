    .section .init, "ax"
    .globl _start
_start:
    la sp, stack_top
    la t0, trap
    csrw mtvec, t0
#ifdef __riscv_flen
    li t0, 0x2000               /* mstatus.FS = initial */
    csrs mstatus, t0
#endif
#ifdef __riscv_vector
    li t0, 0x200                /* mstatus.VS = initial */
    csrs mstatus, t0
#endif
    call main                   /* ends the emulator; memory starts as zeros */
1:  j 1b
