/* What the host port has for firmware in slots: programs in its flash file. */
#ifndef HOST_H
#define HOST_H
#include <stdint.h>

#ifdef PE_WITH_SLOTS
enum { HOST_SLOTS = 1 };
#else
enum { HOST_SLOTS = 0 };
#endif

uint8_t *host_flash(void);
_Noreturn void host_start(int image); /* runs the program in an open file instead of this one, with the same link */
#endif
