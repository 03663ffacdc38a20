/* The loops of one level. The file that includes this has defined
 *     LEVEL        its name
 *     FLOATS, INTS types of accumulators: vectors
 *     FMA(x)       x = x * a + b, with some a and b
 *     DOT(x)       x plus sums of products that depend on x
 *     FMA_MACS, DOT_MACS   of one of these
 *     WIDTH        bytes of a vector that is read */
#include <string.h>

#include "kernels/cpu.h"
#include "peaks.h"

#define CHAINS 12 /* four cycles of latency, three a cycle */
#define REPEAT(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define UNKNOWN(x) __asm__("" : "+m"(x)) /* or a compiler finds that all chains are equal, and runs one */
#define START(n) x[n] = start[n];

static uint64_t fma_f32(uint64_t rounds, void *sink)
{
    FLOATS x[CHAINS], start[CHAINS];
    memset(start, 0, sizeof start);
    UNKNOWN(start);
    REPEAT(START)
    for (uint64_t i = 0; i < rounds; i++) {
#define STEP(n) x[n] = FMA(x[n]);
        REPEAT(STEP)
#undef STEP
    }
    for (int n = 1; n < CHAINS; n++)
        x[0] += x[n];
    memcpy(sink, &x[0], 4);
    return rounds * CHAINS * FMA_MACS;
}

static uint64_t dot_s8(uint64_t rounds, void *sink)
{
    INTS x[CHAINS], start[CHAINS];
    memset(start, 1, sizeof start);
    UNKNOWN(start);
    REPEAT(START)
    for (uint64_t i = 0; i < rounds; i++) {
#define STEP(n) x[n] = DOT(x[n]);
        REPEAT(STEP)
#undef STEP
    }
    for (int n = 1; n < CHAINS; n++)
        x[0] = x[0] ^ x[n];
    memcpy(sink, &x[0], 4);
    return rounds * CHAINS * DOT_MACS;
}

typedef long long words __attribute__((vector_size(WIDTH)));

static void read_bytes(const void *p, size_t bytes, void *sink)
{
    const words *x = p;
    words a = {0}, b = a, c = a, d = a;
    for (size_t i = 0; i < bytes / WIDTH; i += 4) {
        a ^= x[i];
        b ^= x[i + 1];
        c ^= x[i + 2];
        d ^= x[i + 3];
    }
    a ^= b ^ c ^ d;
    memcpy(sink, &a, 8);
}

#define JOINED(a, b) a##b
#define NAMED(level) JOINED(pe_peak_, level)
#define TEXT(level) #level
#define SHOWN(level) TEXT(level)
