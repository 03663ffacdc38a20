/* GD32VF103: USART0 on PA9 (out) and PA10 (in), an 8 MHz crystal as on the Longan Nano.
 * Built, not run on silicon.
 *
 * GD32VF103 user manual: chapters 2 (FMC), 5 (RCU), 16 (USART); Nuclei's Bumblebee core manual: timer unit (msftrst), mtvec
 * (exceptions go to its address outside ECLIC mode). What shares its registers with STM32F1 is in riscv/f1.c.
 * Wait states are left as they are after reset, as the maker's library does. */
#include "port.h"

#include "riscv/f1.h"

enum { RCU_CFG1 = F1_RCC + 0x2C, TIMER_UNIT = 0xD1000000, CPU_HZ = 108000000, BUF = 512 };
enum { STORE = 0x08014000, SECTOR = 1024, SLOT = 23 * SECTOR }; /* 2 * SECTOR + 2 * SLOT: 48 KiB */

void port_init(port_info *info)
{
    static const port_store store = {
        .base = (const uint8_t *)STORE, .sector_bytes = SECTOR, .slot_bytes = SLOT, .write_bytes = 2};
    static uint8_t buf[BUF + 2];

    R32(RCU_CFG1) = 1;                                   /* crystal / 2 into the PLL */
    f1_clock(1u << 29 | 10u << 18 | 1u << 16 | 4u << 8); /* * 27 (PLLMF 26, of which bit 4 is apart); APB1 / 2 */
    f1_uart(CPU_HZ);
    f1_mark();

    *info = (port_info){
        .board = PYEDGE_NAME, .unit = "cycles", .hz = CPU_HZ, .buf = buf, .buf_bytes = BUF, .store = &store};
    riscv_memory(info);
}

uint64_t port_count(void *ctx)
{
    (void)ctx;
    return riscv_cycles();
}

_Noreturn void port_reset(void)
{
    f1_flush();
    R32(TIMER_UNIT + 0xFF0) = 0x80000A5F; /* msftrst, its key */
    for (;;) {
    }
}

int port_erase(uint32_t offset)
{
    return f1_erase(STORE + offset);
}

int port_program(uint32_t offset, const uint8_t *data, uint32_t n)
{
    return f1_program(STORE + offset, data, n);
}
