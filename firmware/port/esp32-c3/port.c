/* ESP32-C3: UART0 and the USB serial port, whichever spoke last; the store in the flash that also holds the firmware.
 * Built, not run on silicon.
 *
 * Registers: ESP32-C3 Technical Reference Manual, chapters "System and Memory" (addresses), "Reset and Clock", "System
 * Registers", "System Timer", "Watchdog Timers", "IO MUX and GPIO Matrix", "UART Controller", "USB Serial/JTAG Controller",
 * "ESP-RISC-V CPU" (CSRs).
 * The cache's registers and MMU table are in no chapter: ESP-IDF 5, soc/esp32c3 extmem_reg.h, ext_mem_defs.h and
 * hal/esp32c3 mmu_ll.h. ROM functions: ESP-IDF 5, esp_rom/esp32c3/ld/esp32c3.rom.ld.
 *
 * Taken on trust, as no board was there: the ROM leaves the 480 MHz PLL running, which its USB port needs, and the flash
 * in a read mode that the cache can use. */
#include "port.h"

#include <stdbool.h>

#include "riscv/riscv.h"

#define IRAM \
    __attribute__((section(".iram"), noinline)) /* in RAM: while flash is written nothing can be read from it */

enum { UART = 0x60000000, USB = 0x60043000, SYSTIMER = 0x60023000, SYSTEM = 0x600C0000, CACHE = 0x600C4000 };
enum { MMU = 0x600C5000, RTC = 0x60008000, TIMG0 = 0x6001F000, TIMG1 = 0x60020000 };
enum { GPIO = 0x60004000, GPIO_SET = 0x08, GPIO_CLEAR = 0x0C, GPIO_OUTPUT = 0x24, GPIO_SIGNAL = 0x554 };
enum { IO_MUX_0 = 0x60009004 }; /* of GPIO 0 */
enum { XTAL_HZ = 40000000, CPU_HZ = 160000000, TICK_HZ = 16000000, BAUD = 115200, BUF = 896 };

/* Of the flash, at the same offset in both views (link.ld). */
enum { DATA_VIEW = 0x3C000000, FLASH_PAGES = 64, PAGE = 65536, SECTOR = 4096, STORE = 0x100000, SLOT = 0x17F000 };

/* ROM functions; of the flash's the result is 0 if all went well. */
#define ROM(address, type) ((type)(uintptr_t)(address))
#define rom_reset ROM(0x40000090, void (*)(void))
#define rom_flash_erase ROM(0x40000128, int (*)(uint32_t sector))
#define rom_flash_write ROM(0x4000012C, int (*)(uint32_t offset, const uint32_t *data, int32_t n))
#define rom_flash_unlock ROM(0x40000140, int (*)(void))
#define rom_cache_invalidate ROM(0x400004D8, void (*)(void))
#define rom_cache_disable ROM(0x4000051C, uint32_t (*)(void))
#define rom_cache_enable ROM(0x40000520, void (*)(uint32_t autoload))
#define rom_cache_suspend ROM(0x40000524, uint32_t (*)(void))
#define rom_cache_resume ROM(0x40000528, void (*)(uint32_t autoload))

extern _Noreturn void _start(void);
_Noreturn void port_boot(void);

/* Where the ROM jumps to, on its own stack: watchdogs off, flash readable, then start.S. */
IRAM _Noreturn void port_boot(void)
{
    enum { WDT_KEY = 0x50D83AA1, SUPER_AUTO_FEED = 1 << 31 };
    R32(RTC + 0xA8) = WDT_KEY; /* of the RTC: protection, configuration */
    R32(RTC + 0x90) = 0;
    R32(RTC + 0xB0) = 0x8F1D312A; /* the super watchdog feeds itself */
    R32(RTC + 0xAC) = R32(RTC + 0xAC) | (uint32_t)SUPER_AUTO_FEED;
    R32(TIMG0 + 0x64) = WDT_KEY; /* of the timer groups; the ROM starts the first one's for the flash boot */
    R32(TIMG0 + 0x48) = 0;
    R32(TIMG1 + 0x64) = WDT_KEY;
    R32(TIMG1 + 0x48) = 0;

    rom_cache_disable();
    for (uint32_t page = 0; page < FLASH_PAGES; page++)
        R32(MMU + 4 * page) = page;
    R32(CACHE + 0x04) &= ~3u; /* ICACHE_CTRL1: both buses on */
    rom_cache_invalidate();
    rom_cache_enable(0);
    _start();
}

/* mtvec takes multiples of 256 only, and has the table of vectors behind it. */
__attribute__((naked, aligned(256), section(".iram"))) static void vector(void)
{
    __asm__("j trap");
}

static void clock(void)
{
    R32(SYSTEM + 0x08) = (R32(SYSTEM + 0x08) & ~7u) | 5;            /* CPU_PER_CONF: PLL of 480 MHz, CPU at 160 */
    R32(SYSTEM + 0x58) = (R32(SYSTEM + 0x58) & ~0xFFFu) | 1u << 10; /* SYSCLK_CONF: from the PLL */
}

enum { UART_FIFO = 0x00, UART_STATUS = 0x1C, UART_CLKDIV = 0x14, UART_CONF0 = 0x20, UART_FSM = 0x6C };
enum { UART_CLK_CONF = 0x78, UART_ID = 0x80, UART_FIFO_RESET = 3 << 17, FIFO_BYTES = 128 };
enum { USB_EP1 = 0x00, USB_CONF = 0x04, USB_WRITTEN = 1, USB_FREE = 2, USB_RECEIVED = 4 };

static uint64_t ticks(void);

void port_init(port_info *info)
{
    static const port_store store = {
        .base = (const uint8_t *)(DATA_VIEW + STORE), .sector_bytes = SECTOR, .slot_bytes = SLOT, .write_bytes = 4};
    static uint8_t buf[BUF + 2];

    __asm__ volatile("csrw mtvec, %0" ::"r"(vector));
    clock();
    /* From the crystal, whatever the CPU runs from; 8N1 is the ROM's setting, and what it printed is not waited for. */
    R32(UART + UART_CLK_CONF) = (R32(UART + UART_CLK_CONF) & ~0x3FFFFFu) | 3u << 20;
    uint32_t sixteenths = (XTAL_HZ * 16u + BAUD / 2) / BAUD;
    R32(UART + UART_CLKDIV) = (sixteenths & 15) << 20 | sixteenths >> 4;
    R32(UART + UART_CONF0) |= UART_FIFO_RESET;
    R32(UART + UART_CONF0) &= ~(uint32_t)UART_FIFO_RESET;
    R32(UART + UART_ID) = (R32(UART + UART_ID) & ~(1u << 30)) | 1u << 31; /* over into the UART's clock, now */
#ifdef PYEDGE_MARK
    enum { SIGNAL_GPIO = 128, FUNCTION_GPIO = 1 << 12, DRIVE_20_MA = 2 << 10 };
    R32(GPIO + GPIO_SIGNAL + 4 * PYEDGE_MARK) = SIGNAL_GPIO;
    R32(IO_MUX_0 + 4 * PYEDGE_MARK) = FUNCTION_GPIO | DRIVE_20_MA;
    R32(GPIO + GPIO_OUTPUT) = 1u << PYEDGE_MARK;
#endif
    rom_flash_unlock();

    *info = (port_info){
        .board = PYEDGE_NAME, .unit = "cycles", .hz = CPU_HZ, .buf = buf, .buf_bytes = BUF, .store = &store};
    riscv_memory(info);
}

static bool by_usb; /* the side that spoke last, and is answered */

uint32_t port_rx(uint8_t *data, uint32_t n)
{
    uint32_t got = 0;
    while (!got) {
        while (got < n && R32(UART + UART_STATUS) & 0x3FF)
            data[got++] = (uint8_t)R32(UART + UART_FIFO);
        by_usb = by_usb && !got;
        if (got)
            continue;
        while (got < n && R32(USB + USB_CONF) & USB_RECEIVED)
            data[got++] = (uint8_t)R32(USB + USB_EP1);
        by_usb = by_usb || got;
    }
    return got;
}

/* False if nobody has fetched what is there: a USB host that has closed the port. */
static bool usb_free(void)
{
    uint64_t end = ticks() + TICK_HZ / 10;
    while (!(R32(USB + USB_CONF) & USB_FREE))
        if (ticks() > end)
            return false;
    return true;
}

void port_tx(const uint8_t *data, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (by_usb) {
            if (!usb_free())
                return;
            R32(USB + USB_EP1) = data[i];
        } else {
            while ((R32(UART + UART_STATUS) >> 16 & 0x3FF) >= FIFO_BYTES - 1) {
            }
            R32(UART + UART_FIFO) = data[i];
        }
    }
    if (by_usb)
        R32(USB + USB_CONF) = USB_WRITTEN; /* a packet that is not full goes out too */
}

static uint64_t ticks(void)
{
    R32(SYSTIMER + 0x04) = 1u << 30; /* UNIT0_OP: take the value over, until it is valid */
    riscv_until(SYSTIMER + 0x04, 1u << 29);
    uint32_t high = R32(SYSTIMER + 0x40);
    return (uint64_t)high << 32 | R32(SYSTIMER + 0x44);
}

#ifdef PYEDGE_MARK
void port_pin(uint32_t pin, bool high)
{
    if (pin == PIN_MARK)
        R32(GPIO + (high ? GPIO_SET : GPIO_CLEAR)) = 1u << PYEDGE_MARK;
}
#endif

/* The core's own counter has 32 bits, less than half a minute; the timer has 52, and crystal and CPU keep their ratio. */
uint64_t port_count(void *ctx)
{
    (void)ctx;
    return ticks() * (CPU_HZ / TICK_HZ);
}

_Noreturn void port_reset(void)
{
    if (by_usb) {
        usb_free();
    } else {
        while (R32(UART + UART_STATUS) >> 16 & 0x3FF || R32(UART + UART_FSM) & 0xF0) {
        }
    }
    for (;;)
        rom_reset();
}

/* n bytes at data, or, where that is NULL, an erased sector. */
IRAM static int write_flash(uint32_t offset, const uint32_t *data, uint32_t n)
{
    uint32_t autoload = rom_cache_suspend();
    int result = data ? rom_flash_write(offset, data, (int32_t)n) : rom_flash_erase(offset / SECTOR);
    rom_cache_invalidate();
    rom_cache_resume(autoload);
    return result;
}

int port_erase(uint32_t offset)
{
    return write_flash(STORE + offset, NULL, 0) ? -1 : 0;
}

int port_program(uint32_t offset, const uint8_t *data, uint32_t n)
{
    for (uint32_t at = 0; at < n;) { /* by words in RAM: the data may lie in flash, and anywhere */
        uint32_t words[64], part = n - at < sizeof words ? n - at : sizeof words;
        for (uint32_t i = 0; i < part; i++)
            ((uint8_t *)words)[i] = data[at + i];
        if (write_flash(STORE + offset + at, words, part))
            return -1;
        at += part;
    }
    return 0;
}
