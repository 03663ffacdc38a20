#include "riscv.h"

extern uint8_t __data_start[], __bss_end[], __pool_start[], __pool_end[], __stack_low[], __stack_top[];

/* A counter of two words, read again until the high one stays. */
#define COUNTER(name)                                                                  \
    uint32_t high, low, again;                                                         \
    do {                                                                               \
        __asm__ volatile("csrr %0, " name "h\n csrr %1, " name "\n csrr %2, " name "h" \
                         : "=r"(high), "=r"(low), "=r"(again)::"memory");              \
    } while (high != again);                                                           \
    return (uint64_t)high << 32 | low

uint64_t riscv_instret(void)
{
    COUNTER("minstret");
}

uint64_t riscv_cycles(void)
{
    COUNTER("mcycle");
}

void riscv_memory(port_info *info)
{
    static uint32_t boots __attribute__((section(".keep"))); /* RAM keeps its content across a reset */

#ifdef PYEDGE_MARK
    info->marks = true;
#endif
    info->boot = ++boots;
    info->pool = __pool_start;
    info->pool_bytes = (uint32_t)(__pool_end - __pool_start);
    info->static_bytes = (uint32_t)(__bss_end - __data_start);
    info->stack = __stack_low;
    info->stack_bytes = (uint32_t)(__stack_top - __stack_low);
}

static void print(const char *label, uint32_t value)
{
    while (*label)
        port_tx((const uint8_t *)label++, 1);
    for (int shift = 28; shift >= 0; shift -= 4)
        port_tx((const uint8_t *)"0123456789abcdef" + (value >> shift & 15), 1);
}

_Noreturn void riscv_trap(uint32_t cause, uint32_t pc, uint32_t value)
{
    static const uint8_t end_mark = 0;
    port_tx(&end_mark, 1);
    print("trap: mcause ", cause);
    print(" mepc ", pc);
    print(" mtval ", value);
    port_tx((const uint8_t *)"\r\n", 3); /* with the 0, an end mark again */
    port_reset();
}
