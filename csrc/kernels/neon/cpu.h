/* Which core this is, for kernels that differ in time alone: what a CPU can do is in kernels/cpu.h. */
#ifndef PE_NEON_CPU_H
#define PE_NEON_CPU_H
#include <stdbool.h>

/* Of the core that asks, which has neighbours of other kinds where big ones and little ones are mixed. */
bool pe_neon_is_cortex_a53(void);
#endif
