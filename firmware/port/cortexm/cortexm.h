/* What the Cortex-M ports share. */
#ifndef CORTEXM_H
#define CORTEXM_H
#include <stdint.h>

#define R32(address) (*(volatile uint32_t *)(uintptr_t)(address))

/* An interrupt that cortexm_wait wakes for. It is never taken: PRIMASK stays 1. */
void cortexm_enable(uint32_t interrupt);

/* Sleeps until one is pending. */
void cortexm_wait(void);

/* It is no more pending. Of no effect while the device still asks for it. */
void cortexm_clear(uint32_t interrupt);

_Noreturn void cortexm_reset(void); /* of the whole chip */

/* Where start.S ends on an exception: says so as text on the link, which the host drops as a bad frame, and resets. */
_Noreturn void cortexm_fault(const uint32_t *frame);
#endif
