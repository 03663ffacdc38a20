/* QEMU's riscv32 `virt` machine: 16550 UART, CFI NOR flash in bank 1, test device, RTC. Addresses: QEMU, hw/riscv/virt.c. */
#include "port.h"

#include "riscv/riscv.h"

enum { UART = 0x10000000, TEST = 0x100000, RTC = 0x101000, PLIC = 0x0C000000, UART_IRQ = 10, NOR = 0x22000000 };
enum {
    UART_DATA = 0,
    UART_IER = 1,
    UART_FCR = 2,
    UART_LCR = 3,
    UART_MCR = 4,
    UART_LSR = 5,
    LSR_DATA = 0x01,
    LSR_THR_EMPTY = 0x20
};
enum { PLIC_ENABLE = PLIC + 0x2000, PLIC_THRESHOLD = PLIC + 0x200000, PLIC_CLAIM = PLIC + 0x200004 };
enum { FIFO = 16, BUF = 896, TEST_RESET = 0x7777 };

extern uint8_t __data_start[], __bss_end[], __pool_start[], __pool_end[], __stack_low[], __stack_top[];

void port_init(port_info *info)
{
    static const port_store store = {(const uint8_t *)NOR, 256 * 1024, 4 * 1024 * 1024, 4};
    static uint8_t buf[BUF + 2];

    R8(UART + UART_LCR) =
        0x83; /* divisor 1, the fastest: QEMU takes the receiver's time-out from it, though no baud rate */
    R8(UART + UART_DATA) = 1;
    R8(UART + UART_IER) = 0;
    R8(UART + UART_LCR) = 0x03; /* 8N1 */
    R8(UART + UART_FCR) = 0xC7; /* FIFOs on and cleared; QEMU fills up to the interrupt's threshold at once: 14 bytes */
    (void)R8(UART + UART_DATA); /* QEMU sends more when some is read, and clearing does not count as reading */
    R8(UART + UART_MCR) = 0x08; /* OUT2 */
    R8(UART + UART_IER) = 0x01; /* received data: an interrupt that is waited for, never taken */
    R32(PLIC + 4 * UART_IRQ) = 1;
    R32(PLIC_ENABLE) = 1u << UART_IRQ;
    R32(PLIC_THRESHOLD) = 0;
    __asm__ volatile("csrs mie, %0" ::"r"(MIE_MEIE));

    uint32_t low = R32(RTC), high = R32(RTC + 4); /* nanoseconds; reading the low word latches the high one */
    *info = (port_info){
        .board = PYEDGE_NAME,
        .unit = "instructions",
        .boot = low ^ high,
        .buf = buf,
        .buf_bytes = BUF,
        .pool = __pool_start,
        .pool_bytes = (uint32_t)(__pool_end - __pool_start),
        .static_bytes = (uint32_t)(__bss_end - __data_start),
        .stack = __stack_low,
        .stack_bytes = (uint32_t)(__stack_top - __stack_low),
        .store = &store,
    };
}

/* The emulator runs the firmware and the wire in turns, so sleeping makes the link faster, and an idle board costs nothing. */
uint32_t port_rx(uint8_t *data, uint32_t n)
{
    uint32_t got = 0;
    while (!(R8(UART + UART_LSR) & LSR_DATA)) {
        riscv_wait();
        R32(PLIC_CLAIM) = R32(PLIC_CLAIM); /* claimed and completed: pending again with the next byte */
    }
    do
        data[got++] = R8(UART + UART_DATA);
    while (got < n && R8(UART + UART_LSR) & LSR_DATA);
    return got;
}

void port_tx(const uint8_t *data, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (i % FIFO == 0)
            while (!(R8(UART + UART_LSR) & LSR_THR_EMPTY)) {
            }
        R8(UART + UART_DATA) = data[i];
    }
}

uint64_t port_count(void *ctx)
{
    (void)ctx;
    return riscv_instret();
}

_Noreturn void port_reset(void)
{
    R32(TEST) = TEST_RESET;
    for (;;)
        riscv_wait();
}

/* CFI command set 1 (Intel): two 16-bit chips side by side on a 32-bit bus, so each command is given twice. */
enum {
    NOR_ERASE = 0x00200020,
    NOR_CONFIRM = 0x00D000D0,
    NOR_PROGRAM = 0x00400040,
    NOR_CLEAR = 0x00500050,
    NOR_READ = 0x00FF00FF
};
enum { NOR_READY = 0x00800080, NOR_FAILED = 0x003A003A, NOR_BYTES = 32 << 20 };

/* Firmware in a slot is executed from this flash, which gives no code while it takes a command: RAM has these functions. */
#ifdef PE_WITH_SLOTS
#define IN_RAM __attribute__((section(".ramcode"), noinline))
#else
#define IN_RAM
#endif

IN_RAM static int nor_wait(uint32_t address)
{
    uint32_t status;
    do
        status = R32(address);
    while ((status & NOR_READY) != NOR_READY);
    return status & NOR_FAILED ? -1 : 0;
}

IN_RAM static int nor_read(int bad)
{
    R32(NOR) = NOR_CLEAR;
    R32(NOR) = NOR_READ;
    return bad;
}

IN_RAM int port_erase(uint32_t offset)
{
    R32(NOR + offset) = NOR_ERASE;
    R32(NOR + offset) = NOR_CONFIRM;
    return nor_read(nor_wait(NOR + offset));
}

/* Changing from commands to data and back is what takes QEMU's time: once, unless data lies in this flash as well. (QEMU
 * overwrites, where a real chip only clears bits; what is programmed is erased.) */
IN_RAM int port_program(uint32_t offset, const uint8_t *data, uint32_t n)
{
    const bool same = (uintptr_t)data / NOR_BYTES == NOR / NOR_BYTES;
    int bad = 0;
    for (uint32_t i = 0; i < n && !bad; i += 4) {
        const uint32_t address = NOR + offset + i;
        const uint32_t word =
            data[i] | (uint32_t)data[i + 1] << 8 | (uint32_t)data[i + 2] << 16 | (uint32_t)data[i + 3] << 24;
        R32(address) = NOR_PROGRAM;
        R32(address) = word;
        bad = nor_wait(address);
        if (same)
            nor_read(0);
    }
    return nor_read(bad);
}

#ifdef PE_WITH_SLOTS
enum { SLOTS_AT = 0x900000, SLOT_BYTES = 1024 * 1024 }; /* behind the store */

const port_slots *port_firmware(void)
{
    static const port_slots slots = {{(const uint8_t *)NOR + SLOTS_AT, 256 * 1024, SLOT_BYTES, 4}, SLOTS_AT};
    return &slots;
}

int port_running(void)
{
    extern uint8_t _start[];
    const port_slots *slots = port_firmware();
    return _start >= slots->flash.base + 2 * slots->flash.sector_bytes + SLOT_BYTES;
}

_Noreturn void port_start(int slot, const uint8_t *code, uint32_t n)
{
    (void)slot, (void)n; /* it lies where it runs */
    __asm__ volatile("fence.i\n jr %0" ::"r"(code));
    __builtin_unreachable();
}
#endif
