#include "f1.h"

enum { APB2_ON = F1_RCC + 0x18, GPIOA_HIGH = 0x40010804, USART = 0x40013800, BAUD = 115200 };
enum { USART_STATE = 0x00, USART_DATA = 0x04, USART_BAUD = 0x08, USART_CTRL = 0x0C };
#ifdef PYEDGE_MARK
enum { MARK_GPIO = 0x40010800 + PYEDGE_MARK / 16 * 0x400, MARK_PIN = PYEDGE_MARK % 16 };
#endif
enum { RECEIVED = 1 << 5, SENT = 1 << 6, TX_EMPTY = 1 << 7 };

void f1_clock(uint32_t cfgr0)
{
    enum { CRYSTAL_ON = 1 << 16, CRYSTAL_READY = 1 << 17, PLL_ON = 1 << 24, PLL_READY = 1 << 25, FROM_PLL = 2 };
    R32(F1_CTLR) |= CRYSTAL_ON;
    riscv_until(F1_CTLR, CRYSTAL_READY);
    R32(F1_CFGR0) = cfgr0;
    R32(F1_CTLR) |= PLL_ON;
    riscv_until(F1_CTLR, PLL_READY);
    R32(F1_CFGR0) = cfgr0 | FROM_PLL;
    riscv_until(F1_CFGR0, FROM_PLL << 2);
}

void f1_uart(uint32_t bus_hz)
{
    R32(APB2_ON) |= 1u << 14 | 1u << 2;                    /* USART, port A */
    R32(GPIOA_HIGH) = (R32(GPIOA_HIGH) & ~0xFF0u) | 0x8B0; /* PA9: its output, 50 MHz; PA10: input, pulled */
    R32(0x40010810) = 1u << 10;                            /* up */
    R32(USART + USART_BAUD) = (bus_hz + BAUD / 2) / BAUD;
    R32(USART + USART_CTRL) = 1u << 13 | 1u << 3 | 1u << 2; /* on, both ways; 8N1 */
}

void f1_mark(void)
{
#ifdef PYEDGE_MARK
    const uint32_t config = MARK_GPIO + (MARK_PIN < 8 ? 0 : 4), at = MARK_PIN % 8 * 4;
    R32(APB2_ON) |= 1u << (2 + PYEDGE_MARK / 16);
    R32(config) = (R32(config) & ~(15u << at)) | 3u << at; /* push-pull, 50 MHz */
#endif
}

#ifdef PYEDGE_MARK
void port_pin(uint32_t pin, bool high)
{
    if (pin == PIN_MARK)
        R32(MARK_GPIO + 0x10) = 1u << (high ? MARK_PIN : MARK_PIN + 16); /* BSRR: the high half clears */
}
#endif

/* Polled, and without FIFO: between two calls lies less than the time of one byte, 87 us. */
uint32_t port_rx(uint8_t *data, uint32_t n)
{
    (void)n;
    riscv_until(USART + USART_STATE, RECEIVED);
    data[0] = (uint8_t)R32(USART + USART_DATA);
    return 1;
}

void port_tx(const uint8_t *data, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        riscv_until(USART + USART_STATE, TX_EMPTY);
        R32(USART + USART_DATA) = data[i];
    }
}

void f1_flush(void)
{
    riscv_until(USART + USART_STATE, SENT);
}

enum { FLASH = 0x40022000, FLASH_KEY = FLASH + 0x04, FLASH_STATE = FLASH + 0x0C, FLASH_CTRL = FLASH + 0x10 };
enum { FLASH_ADDRESS = FLASH + 0x14, FLASH_BUSY = 1, FLASH_FAILED = 0x14, FLASH_DONE = 0x20 };
enum { PROGRAM = 1 << 0, ERASE = 1 << 1, START = 1 << 6, LOCK = 1 << 7 };

static void open_flash(uint32_t how)
{
    if (R32(FLASH_CTRL) & LOCK) {
        R32(FLASH_KEY) = 0x45670123;
        R32(FLASH_KEY) = 0xCDEF89AB;
    }
    R32(FLASH_STATE) = FLASH_FAILED | FLASH_DONE; /* cleared by writing ones */
    R32(FLASH_CTRL) = how;
}

static int flash_wait(void)
{
    while (R32(FLASH_STATE) & FLASH_BUSY) {
    }
    return R32(FLASH_STATE) & FLASH_FAILED ? -1 : 0;
}

int f1_erase(uint32_t address)
{
    open_flash(ERASE);
    R32(FLASH_ADDRESS) = address;
    R32(FLASH_CTRL) = ERASE | START;
    int result = flash_wait();
    R32(FLASH_CTRL) = LOCK;
    return result;
}

int f1_program(uint32_t address, const uint8_t *data, uint32_t n)
{
    int result = 0;
    open_flash(PROGRAM);
    for (uint32_t i = 0; i < n && !result; i += 2) {
        uint32_t half = data[i] | (uint32_t)data[i + 1] << 8;
        R16(address + i) = (uint16_t)half;
        result = flash_wait();
        if (R16(address + i) != half)
            result = -1;
    }
    R32(FLASH_CTRL) = LOCK;
    return result;
}
