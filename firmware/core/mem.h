/* The functions of <string.h> that the firmware uses and that compilers call by themselves; a freestanding compiler has no
 * such header. mem.c defines them for boards; the host port takes libc's. */
#ifndef MEM_H
#define MEM_H
#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *text);
#endif
