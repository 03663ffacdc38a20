/* What the rv32 ports share. */
#ifndef RISCV_H
#define RISCV_H
#include <stdint.h>

#include "port.h"

#define R8(address) (*(volatile uint8_t *)(uintptr_t)(address))
#define R16(address) (*(volatile uint16_t *)(uintptr_t)(address))
#define R32(address) (*(volatile uint32_t *)(uintptr_t)(address))

enum { MIE_MEIE = 1 << 11 };

/* Sleeps until an interrupt that mie names is pending. It is not taken: mstatus.MIE stays 0. */
static inline void riscv_wait(void)
{
    __asm__ volatile("wfi" ::: "memory");
}

uint64_t riscv_instret(void); /* instructions retired */
uint64_t riscv_cycles(void);

/* Pool, stack and statics as the linker script says; whether there is a mark pin; boot counts the resets since RAM had power
 * (its section is .keep). */
void riscv_memory(port_info *info);

/* Waits until all the bits of `mask` are set in a register. */
static inline void riscv_until(uint32_t address, uint32_t mask)
{
    while ((R32(address) & mask) != mask) {
    }
}

/* Where start.S ends on an exception: says so as text on the link, which the host drops as a bad frame, and resets. */
void trap(void); /* of start.S: to jump to, from a place that mtvec of a chip takes */
_Noreturn void riscv_trap(uint32_t cause, uint32_t pc, uint32_t value);
#endif
