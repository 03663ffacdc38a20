/* Reads the count of the plugin icount.c, whose file is named by the environment variable ICOUNT. */
#ifndef ICOUNT_H
#define ICOUNT_H
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Ends the program if there is no count. */
static inline const volatile uint64_t *icount_open(void)
{
    const char *path = getenv("ICOUNT");
    const int file = path ? open(path, O_RDONLY) : -1;
    const void *count = file < 0 ? MAP_FAILED : mmap(NULL, sizeof(uint64_t), PROT_READ, MAP_SHARED, file, 0);
    if (count == MAP_FAILED) {
        fputs("no count: ICOUNT must name the file of QEMU's plugin icount.so\n", stderr);
        exit(1);
    }
    close(file);
    return count;
}
#endif
