/* QEMU `sifive_e`, an FE310: UART0, 16 KiB of RAM, plan and code executed from flash. QEMU does not model the writing of that
 * flash, so the store is read-only and the host puts it into the image. Addresses: SiFive FE310-G000 manual, chapter 4. */
#include "port.h"

#include "riscv/riscv.h"

enum { UART = 0x10013000, PLIC = 0x0C000000, UART_IRQ = 3, STORE = 0x20800000 };
enum { UART_TX = 0x00, UART_RX = 0x04, UART_TXCTRL = 0x08, UART_RXCTRL = 0x0C, UART_IE = 0x10, IE_RX = 2 };
enum { GPIO = 0x10012000, GPIO_OUTPUT_EN = 0x08, GPIO_OUTPUT = 0x0C };
enum { PLIC_ENABLE = PLIC + 0x2000, PLIC_THRESHOLD = PLIC + 0x200000, PLIC_CLAIM = PLIC + 0x200004, BUF = 512 };
#define FULL_OR_EMPTY 0x80000000u /* of UART_TX: full; of UART_RX: empty */

extern uint8_t __data_start[], __bss_end[], __pool_start[], __pool_end[], __stack_low[], __stack_top[];
extern _Noreturn void _start(void);

void port_init(port_info *info)
{
    static const port_store store = {(const uint8_t *)STORE, 4096, 4 * 1024 * 1024, 0};
    static uint8_t buf[BUF + 2];
    static uint32_t boots __attribute__((section(".keep"))); /* RAM keeps its content across a reset */

    R32(UART + UART_TXCTRL) = 1;
    R32(UART + UART_RXCTRL) = 1; /* on; interrupt when there is more than 0 bytes, waited for and never taken */
    R32(UART + UART_IE) = IE_RX;
    R32(PLIC + 4 * UART_IRQ) = 1;
    R32(PLIC_ENABLE) = 1u << UART_IRQ;
    R32(PLIC_THRESHOLD) = 0;
    __asm__ volatile("csrs mie, %0" ::"r"(MIE_MEIE));

#ifdef PYEDGE_MARK
    R32(GPIO + GPIO_OUTPUT_EN) |= 1u << PYEDGE_MARK;
#endif
    *info = (port_info){
        .board = "sifive-e",
        .unit = "instructions",
        .boot = ++boots,
        .buf = buf,
        .buf_bytes = BUF,
        .pool = __pool_start,
        .pool_bytes = (uint32_t)(__pool_end - __pool_start),
        .static_bytes = (uint32_t)(__bss_end - __data_start),
        .stack = __stack_low,
        .stack_bytes = (uint32_t)(__stack_top - __stack_low),
        .store = &store,
#ifdef PYEDGE_MARK
        .marks = true,
#endif
    };
}

#ifdef PYEDGE_MARK
void port_pin(uint32_t pin, bool high)
{
    const uint32_t bit = 1u << PYEDGE_MARK;
    if (pin == PIN_MARK)
        R32(GPIO + GPIO_OUTPUT) = high ? R32(GPIO + GPIO_OUTPUT) | bit : R32(GPIO + GPIO_OUTPUT) & ~bit;
}
#endif

uint32_t port_rx(uint8_t *data, uint32_t n)
{
    uint32_t got = 0, word;
    for (;;) {
        while (got < n && !((word = R32(UART + UART_RX)) & FULL_OR_EMPTY))
            data[got++] = (uint8_t)word;
        if (got)
            return got;
        riscv_wait();
        R32(PLIC_CLAIM) = R32(PLIC_CLAIM); /* claimed and completed: pending again with the next byte */
    }
}

void port_tx(const uint8_t *data, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        while (R32(UART + UART_TX) & FULL_OR_EMPTY) {
        }
        R32(UART + UART_TX) = data[i];
    }
}

uint64_t port_count(void *ctx)
{
    (void)ctx;
    return riscv_instret();
}

_Noreturn void port_reset(void)
{
    _start(); /* QEMU 7.2 has no watchdog here that could reset the chip */
}

int port_erase(uint32_t offset)
{
    (void)offset;
    return -1;
}

int port_program(uint32_t offset, const uint8_t *data, uint32_t n)
{
    (void)offset, (void)data, (void)n;
    return -1;
}
