/* The peripherals that CH32V307 and GD32VF103 share: those of STM32F1, at its addresses and with its registers, under
 * other names. CH32FV2x_V3x reference manual, chapters "RCC", "GPIO", "USART", "Flash and user option bytes"; GD32VF103
 * user manual, chapters 5 (RCU), 7 (GPIO), 16 (USART), 2 (FMC). */
#ifndef F1_H
#define F1_H
#include "riscv.h"

enum { F1_RCC = 0x40021000, F1_CTLR = F1_RCC + 0x00, F1_CFGR0 = F1_RCC + 0x04 };

/* Crystal and PLL on, by the bits of CFGR0 that say factors and sources; the CPU then runs from the PLL. */
void f1_clock(uint32_t cfgr0);
void f1_uart(uint32_t bus_hz); /* USART 1 (0 of GD32) on PA9 (out) and PA10 (in), 115,200 baud */
void f1_flush(void);           /* until all is sent */
void f1_mark(void);            /* the mark pin, if there is one, is an output: PYEDGE_MARK 0 is PA0, 16 PB0 */

/* Flash by addresses as it is written, 0x08000000 and up; 0 or a negative number. The CPU stands still meanwhile. */
int f1_erase(uint32_t address);
int f1_program(uint32_t address, const uint8_t *data, uint32_t n); /* n even */
#endif
