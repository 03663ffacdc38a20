/* CH32V307: USART1 on PA9 (out) and PA10 (in), which the EVT board's WCH-Link has as its serial port; an 8 MHz crystal.
 * Plans live in RAM, or are linked with the firmware: erased flash reads 39 E3 here, and the store looks for FF.
 * Built, not run on silicon.
 *
 * CH32FV2x_V3x reference manual: "RCC", "USART", "SysTick"; QingKe V4 processor manual: mtvec,
 * PFIC, corecfgr. What shares its registers with STM32F1 is in riscv/f1.c.
 *
 * Taken on trust: the counter CNT of SysTick goes on after the compare value, as STRE = 0 says. */
#include "port.h"

#include "riscv/f1.h"

enum { SYSTICK = 0xE000F000, PFIC_CFGR = 0xE000E048, CPU_HZ = 144000000, BUF = 896 };

/* mtvec takes multiples of 1,024. Its mode 0: everything goes to the first entry. */
__attribute__((naked, aligned(1024))) static void vector(void)
{
    __asm__("j trap");
}

void port_init(port_info *info)
{
    static uint8_t buf[BUF + 2];

    __asm__ volatile("csrw mtvec, %0" ::"r"(vector));
    __asm__ volatile("csrw 0xBC0, %0" ::"r"(0x1F)); /* corecfgr as WCH's start-up has it: pipeline, prediction */
    f1_clock(1u << 16 | 4u << 8);                   /* crystal * 18 (PLLMUL 0, of the V305 and V307 only); APB1 / 2 */
    f1_uart(CPU_HZ);
    f1_mark();
    R32(SYSTICK + 0x0C) = 0; /* CNTH, CNTL */
    R32(SYSTICK + 0x08) = 0;
    R32(SYSTICK + 0x00) = 5; /* CTLR: on, by HCLK */

    *info = (port_info){.board = PYEDGE_NAME, .unit = "cycles", .hz = CPU_HZ, .buf = buf, .buf_bytes = BUF};
    riscv_memory(info);
}

/* The core has no mcycle. */
uint64_t port_count(void *ctx)
{
    uint32_t high, low;
    (void)ctx;
    do {
        high = R32(SYSTICK + 0x0C);
        low = R32(SYSTICK + 0x08);
    } while (high != R32(SYSTICK + 0x0C));
    return (uint64_t)high << 32 | low;
}

_Noreturn void port_reset(void)
{
    f1_flush();
    R32(PFIC_CFGR) = 0xBEEF0000 | 1u << 7;
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
