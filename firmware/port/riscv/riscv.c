#include "riscv.h"

#include "port.h"

uint64_t riscv_instret(void)
{
    uint32_t high, low, again;
    do { /* until the high word stays */
        __asm__ volatile("csrr %0, minstreth\n csrr %1, minstret\n csrr %2, minstreth"
                         : "=r"(high), "=r"(low), "=r"(again)::"memory");
    } while (high != again);
    return (uint64_t)high << 32 | low;
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
