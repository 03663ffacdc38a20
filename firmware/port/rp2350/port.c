/* RP2350 on one of its RISC-V cores: UART0 on GPIO 0 (out) and 1 (in), the store in the upper half of 4 MB of flash.
 * Built, not run on silicon.
 *
 * RP2350 datasheet: 5.4 (boot ROM functions), 5.9.5 (IMAGE_DEF), 7.5 (resets), 7.6 (PSM), 8.1 (clocks), 8.2 (XOSC),
 * 8.6 (PLL), 9 (GPIO: IO_BANK0, PADS_BANK0), 3.1.11 (SIO), 12.1 (UART, an Arm PL011), 12.9 (watchdog), 3.8 (Hazard3).
 *
 * The boot ROM finds the fastest way to read the flash at start, and keeps the code that sets it up in boot RAM: it is
 * called again after flash has been written (as pico-sdk does, hardware_flash). The other core sleeps in the boot ROM. */
#include "port.h"

#include "riscv/riscv.h"

#define RAM __attribute__((section(".ram"), noinline)) /* while flash is written nothing can be read from it */
#define SET(address) R32((address) + 0x2000)           /* aliases that set and clear bits of a register */
#define CLEAR(address) R32((address) + 0x3000)

enum { CLOCKS = 0x40010000, PSM = 0x40018000, RESETS = 0x40020000, IO_BANK0 = 0x40028000, PADS_BANK0 = 0x40038000 };
enum { XOSC = 0x40048000, PLL_SYS = 0x40050000, UART = 0x40070000, WATCHDOG = 0x400D8000, BOOT_RAM = 0x400E0000 };
enum { SIO_SET = 0xD0000018, SIO_CLEAR = 0xD0000020, SIO_OUTPUT = 0xD0000038 }; /* of GPIO 0 to 31 */
enum { CPU_HZ = 150000000, BAUD = 115200, BUF = 896 };
enum { FLASH = 0x10000000, STORE = 0x200000, SECTOR = 4096, SLOT = 0xFF000, PAGE = 256, XIP_SETUP_WORDS = 64 };
#define READY 0x80000000u /* bit 31 of XOSC_STATUS: stable; of PLL_CS: locked */

/* Says to the boot ROM that this is a program for a RISC-V core, and where it begins; without signature. */
__asm__(".section .image_def, \"a\"\n"
        ".balign 4\n"
        ".globl __image_def\n"
        "__image_def:\n"
        ".word 0xffffded3, 0x11010142\n"          /* start; IMAGE_TYPE: executable, RISC-V, RP2350 */
        ".word 0x00000344, _start, __stack_top\n" /* ENTRY_POINT */
        ".word 0x000004ff, 0, 0xab123579\n"       /* LAST, of 4 words; the only block in its loop; end */
        ".previous\n");

typedef void rom_function(void);
typedef void rom_erase(uint32_t offset, uint32_t bytes, uint32_t block_bytes, uint8_t block_command);
typedef void rom_program(uint32_t offset, const uint8_t *data, uint32_t n);

/* What is needed to write flash, fetched while it can still be read. */
static struct {
    rom_function *connect, *exit_xip, *flush_cache;
    rom_erase *erase;
    rom_program *program;
    uint32_t xip_setup[XIP_SETUP_WORDS]; /* code */
} rom;

static void *rom_find(char first, char second)
{
    enum { LOOKUP = 0x7DFA, RISCV = 1 };
    void *(*lookup)(uint32_t code, uint32_t mask) = (void *(*)(uint32_t, uint32_t))(uintptr_t)R16(LOOKUP);
    return lookup((uint32_t)first | (uint32_t)second << 8, RISCV);
}

static void clock(void)
{
    enum { CLK_REF_CTRL = 0x30, CLK_SYS_CTRL = 0x3C, CLK_SYS_SELECTED = 0x44, CLK_PERI_CTRL = 0x48 };
    enum { PLL_CS = 0, PLL_PWR = 4, PLL_FBDIV = 8, PLL_PRIM = 12, RESET_PLL_SYS = 1 << 14 };

    R32(XOSC + 0x00) = 0xAA0; /* 1 .. 15 MHz */
    R32(XOSC + 0x0C) = 47;    /* start-up: 47 * 256 cycles of 12 MHz, 1 ms */
    SET(XOSC + 0x00) = 0xFAB000;
    riscv_until(XOSC + 0x04, READY);
    CLEAR(CLOCKS + CLK_SYS_CTRL) = 1; /* from clk_ref, while the PLL is changed */
    riscv_until(CLOCKS + CLK_SYS_SELECTED, 1);
    R32(CLOCKS + CLK_REF_CTRL) = 2; /* the crystal */
    riscv_until(CLOCKS + CLK_REF_CTRL + 8, 1u << 2);

    SET(RESETS) = RESET_PLL_SYS;
    CLEAR(RESETS) = RESET_PLL_SYS;
    riscv_until(RESETS + 8, RESET_PLL_SYS);
    R32(PLL_SYS + PLL_CS) = 1;       /* 12 MHz / 1 */
    R32(PLL_SYS + PLL_FBDIV) = 125;  /* * 125: 1500 MHz */
    CLEAR(PLL_SYS + PLL_PWR) = 0x21; /* oscillator and PLL on */
    riscv_until(PLL_SYS + PLL_CS, READY);
    R32(PLL_SYS + PLL_PRIM) = 5 << 16 | 2 << 12; /* / 5 / 2: 150 MHz */
    CLEAR(PLL_SYS + PLL_PWR) = 8;                /* dividers on */
    R32(CLOCKS + CLK_SYS_CTRL) = 0;              /* its other input is the PLL */
    SET(CLOCKS + CLK_SYS_CTRL) = 1;
    riscv_until(CLOCKS + CLK_SYS_SELECTED, 2);
    R32(CLOCKS + CLK_PERI_CTRL) = 1 << 11; /* on, from clk_sys */
}

enum { UART_DATA = 0x00, UART_FLAGS = 0x18, UART_IBRD = 0x24, UART_FBRD = 0x28, UART_LINE = 0x2C, UART_CTRL = 0x30 };
enum { FLAG_BUSY = 8, FLAG_RX_EMPTY = 0x10, FLAG_TX_FULL = 0x20 };

void port_init(port_info *info)
{
    enum { RESET_NEEDED = 1 << 6 | 1 << 9 | 1 << 26, OUT = 0, IN = 1, FUNCTION_UART = 2 }; /* IO_BANK0, PADS, UART0 */
    static const port_store store = {
        .base = (const uint8_t *)(FLASH + STORE), .sector_bytes = SECTOR, .slot_bytes = SLOT, .write_bytes = 4};
    static uint8_t buf[BUF + 2];

    __asm__ volatile("csrw 0x320, zero"); /* mcountinhibit: Hazard3 starts with its counters stopped */
    clock();
    CLEAR(RESETS) = RESET_NEEDED;
    riscv_until(RESETS + 8, RESET_NEEDED);
    for (uint32_t pin = OUT; pin <= IN; pin++) {
        R32(PADS_BANK0 + 4 + 4 * pin) =
            0x40 | 0x10 | (pin == IN ? 0x08 : 0); /* input on, 4 mA, pull-up; not isolated */
        R32(IO_BANK0 + 8 * pin + 4) = FUNCTION_UART;
    }
#ifdef PYEDGE_MARK
    enum { FUNCTION_SIO = 5 };
    R32(SIO_OUTPUT) = 1u << PYEDGE_MARK;
    R32(IO_BANK0 + 8 * PYEDGE_MARK + 4) = FUNCTION_SIO;
    R32(PADS_BANK0 + 4 + 4 * PYEDGE_MARK) = 0x50;
#endif
    uint32_t divisor = (CPU_HZ * 4u + BAUD / 2) / BAUD; /* of 16 * baud, in 64ths */
    R32(UART + UART_IBRD) = divisor >> 6;
    R32(UART + UART_FBRD) = divisor & 63;
    R32(UART + UART_LINE) = 0x70; /* 8N1, FIFOs on */
    R32(UART + UART_CTRL) = 0x301;

    rom.connect = (rom_function *)rom_find('I', 'F');
    rom.exit_xip = (rom_function *)rom_find('E', 'X');
    rom.flush_cache = (rom_function *)rom_find('F', 'C');
    rom.erase = (rom_erase *)rom_find('R', 'E');
    rom.program = (rom_program *)rom_find('R', 'P');
    for (uint32_t i = 0; i < XIP_SETUP_WORDS; i++)
        rom.xip_setup[i] = R32(BOOT_RAM + 4 * i);

    *info = (port_info){
        .board = PYEDGE_NAME, .unit = "cycles", .hz = CPU_HZ, .buf = buf, .buf_bytes = BUF, .store = &store};
    riscv_memory(info);
}

uint32_t port_rx(uint8_t *data, uint32_t n)
{
    uint32_t got = 0;
    while (!got)
        while (got < n && !(R32(UART + UART_FLAGS) & FLAG_RX_EMPTY))
            data[got++] = (uint8_t)R32(UART + UART_DATA);
    return got;
}

void port_tx(const uint8_t *data, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        while (R32(UART + UART_FLAGS) & FLAG_TX_FULL) {
        }
        R32(UART + UART_DATA) = data[i];
    }
}

#ifdef PYEDGE_MARK
void port_pin(uint32_t pin, bool high)
{
    if (pin == PIN_MARK)
        R32(high ? SIO_SET : SIO_CLEAR) = 1u << PYEDGE_MARK;
}
#endif

uint64_t port_count(void *ctx)
{
    (void)ctx;
    return riscv_cycles();
}

_Noreturn void port_reset(void)
{
    while (R32(UART + UART_FLAGS) & FLAG_BUSY) {
    }
    R32(PSM + 0x08) = 0x1FFFFFF; /* WDSEL: the watchdog resets all */
    SET(WATCHDOG) = READY;       /* CTRL: now */
    for (;;) {
    }
}

/* A page at data, or, where that is NULL, an erased sector. */
RAM static void write_flash(uint32_t offset, const uint8_t *data)
{
    rom.connect();
    rom.exit_xip();
    if (data)
        rom.program(offset, data, PAGE);
    else
        rom.erase(offset, SECTOR, SECTOR, 0x20);
    rom.flush_cache();
    __asm__ volatile("fence.i" ::: "memory"); /* the words below have been written as data */
    ((rom_function *)(uintptr_t)rom.xip_setup)();
}

/* The ROM says of neither whether it went well: read back. */
int port_erase(uint32_t offset)
{
    write_flash(STORE + offset, NULL);
    for (uint32_t i = 0; i < SECTOR; i += 4)
        if (R32(FLASH + STORE + offset + i) != 0xFFFFFFFFu)
            return -1;
    return 0;
}

int port_program(uint32_t offset, const uint8_t *data, uint32_t n)
{
    while (n) { /* the ROM writes whole pages; FF leaves what is there */
        uint8_t page[PAGE];
        uint32_t start = offset % PAGE, part = n < PAGE - start ? n : PAGE - start;
        for (uint32_t i = 0; i < PAGE; i++)
            page[i] = i >= start && i < start + part ? data[i - start] : 0xFF;
        write_flash(STORE + offset - start, page);
        for (uint32_t i = 0; i < part; i++)
            if (R8(FLASH + STORE + offset + i) != data[i])
                return -1;
        offset += part, data += part, n -= part;
    }
    return 0;
}
