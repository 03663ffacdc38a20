/* Compile with -fno-builtin, or the compiler may make memcpy's loop a call to memcpy. */
#include "mem.h"

#include <stdint.h>

typedef uint32_t __attribute__((may_alias)) word;

static int aligned(const void *a, const void *b)
{
    return (((uintptr_t)a | (uintptr_t)b) & (sizeof(word) - 1)) == 0;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    if (aligned(t, f)) {
        for (; n >= 4 * sizeof(word); n -= 4 * sizeof(word), t += 4 * sizeof(word), f += 4 * sizeof(word)) {
            const word *source = (const word *)f;
            word a = source[0], b = source[1], c = source[2], d = source[3];
            word *target = (word *)t;
            target[0] = a, target[1] = b, target[2] = c, target[3] = d;
        }
        for (; n >= sizeof(word); n -= sizeof(word), t += sizeof(word), f += sizeof(word))
            *(word *)t = *(const word *)f;
    }
    while (n--)
        *t++ = *f++;
    return to;
}

void *memmove(void *to, const void *from, size_t n)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    if ((uintptr_t)t - (uintptr_t)f >= n) { /* also where t < f: the difference wraps */
        if ((uintptr_t)f - (uintptr_t)t >= n)
            return memcpy(to, from, n);
        while (n--)
            *t++ = *f++;
    } else {
        while (n--)
            t[n] = f[n];
    }
    return to;
}

void *memset(void *to, int byte, size_t n)
{
    unsigned char *t = to;
    word four = (unsigned char)byte * (word)0x01010101;
    for (; n && !aligned(t, t); n--)
        *t++ = (unsigned char)byte;
    for (; n >= sizeof(word); n -= sizeof(word), t += sizeof(word))
        *(word *)t = four;
    while (n--)
        *t++ = (unsigned char)byte;
    return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const unsigned char *x = a, *y = b;
    for (; n; n--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

size_t strlen(const char *text)
{
    size_t n = 0;
    while (text[n])
        n++;
    return n;
}
