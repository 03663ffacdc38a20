/* BL616 and BL618: UART0 on GPIO 21 (out) and 22 (in), as the boot ROM has it; a 40 MHz crystal. Plans live in RAM: the
 * manual does not describe the flash controller, so there is no store. Built, not run on silicon.
 *
 * BL616/BL618 reference manual, chapters "Reset and clocks" (GLB), "GPIO", "UART"; hibernate clock selection: bouffalo_sdk,
 * bl616 hbn_reg.h; caches (mhcr, mcor) and mtvec: T-Head E907 manual.
 *
 * Taken on trust: the boot header that bflb-mcu-tool makes sets the CPU to 320 MHz and lets the crystal run. The UART does
 * not depend on the former; the counter's rate, `hz`, does. */
#include "port.h"

#include "riscv/riscv.h"

enum { GLB = 0x20000000, GPIO = GLB + 0x8C4, UART = 0x2000A000, HBN_GLB = 0x2000F030 };
enum { CPU_HZ = 320000000, XTAL_HZ = 40000000 };
enum { UART_TX = 0x00, UART_RX = 0x04, UART_PERIOD = 0x08, UART_STATE = 0x30, UART_CLEAR = 0x80, UART_LEVELS = 0x84 };
enum { UART_WRITE = 0x88, UART_READ = 0x8C, BAUD = 115200, BUF = 896 };

void port_init(port_info *info)
{
    enum { UART_CLOCK = GLB + 0x150, SIGNALS_8 = GLB + 0x158, OUT = 21, IN = 22 };
    static uint8_t buf[BUF + 2];

    __asm__ volatile("csrw 0x7C2, %0\n csrs 0x7C1, %1" ::"r"(0x13),
                     "r"(0x23)); /* caches empty, on; branch prediction */

    R32(UART_CLOCK) &= ~(1u << 4 | 7u);                    /* off, divider 1 */
    R32(HBN_GLB) = (R32(HBN_GLB) & ~(1u << 2)) | 1u << 15; /* the crystal */
    R32(UART_CLOCK) |= 1u << 4;
    /* Pin n has signal n % 12, four bits each: UART0's data out (2) and in (3). Function 7: UART; input on, pull-up. */
    R32(SIGNALS_8) = (R32(SIGNALS_8) & ~0xFF0u) | 0x320;
    R32(GPIO + 4 * OUT) = 7u << 8 | 0x17;
    R32(GPIO + 4 * IN) = 7u << 8 | 0x17;
    uint32_t period = (XTAL_HZ + BAUD / 2) / BAUD - 1;
    R32(UART + UART_PERIOD) = period << 16 | period;
    R32(UART + UART_CLEAR) = 0x0C;
    R32(UART + UART_TX) = 1u << 11 | 7u << 8 | 1u << 2 | 1; /* one stop bit, 8 bits, as much as is written, on */
    R32(UART + UART_RX) = 7u << 8 | 1;

    port_pin(PIN_MARK, false);

    *info = (port_info){.board = PYEDGE_NAME, .unit = "cycles", .hz = CPU_HZ, .buf = buf, .buf_bytes = BUF};
    riscv_memory(info);
}

uint32_t port_rx(uint8_t *data, uint32_t n)
{
    uint32_t got = 0;
    while (!got)
        while (got < n && R32(UART + UART_LEVELS) >> 8 & 0x3F)
            data[got++] = (uint8_t)R32(UART + UART_READ);
    return got;
}

void port_tx(const uint8_t *data, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        while (!(R32(UART + UART_LEVELS) & 0x3F)) { /* bytes that are free */
        }
        R32(UART + UART_WRITE) = data[i];
    }
}

#ifdef PYEDGE_MARK
/* Function 11: the pin's own bit; output on. */
void port_pin(uint32_t pin, bool high)
{
    if (pin == PIN_MARK)
        R32(GPIO + 4 * PYEDGE_MARK) = (high ? 1u << 24 : 0) | 11u << 8 | 1u << 6;
}
#endif

uint64_t port_count(void *ctx)
{
    (void)ctx;
    return riscv_cycles();
}

_Noreturn void port_reset(void)
{
    enum { RESET = GLB + 0x548, FIFO_BYTES = 32, ALL = 4 };
    while ((R32(UART + UART_LEVELS) & 0x3F) < FIFO_BYTES || R32(UART + UART_STATE) & 1) {
    }
    R32(RESET) &= ~7u;
    R32(RESET) |= ALL;
    for (;;) {
    }
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
