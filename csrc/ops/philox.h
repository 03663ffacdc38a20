/* Philox4x32-10: four random words of a counter and a key, with no state of its own (Salmon, Moraes, Dror and Shaw,
 * "Parallel random numbers: as easy as 1, 2, 3", 2011). The same numbers on every core and in any order. */
#ifndef PE_PHILOX_H
#define PE_PHILOX_H
#include <stdint.h>

#include "kernels/fma.h"

/* What the words are for, so that no two uses in a step share any: the counter's third word. */
enum { PE_PHILOX_ROUNDING = 0, PE_PHILOX_NOISE = 1 };

typedef struct pe_philox {
    uint32_t word[4];
} pe_philox;

static inline pe_philox pe_philox_words(uint32_t seed, uint32_t stream, uint32_t block, uint32_t step, uint32_t use)
{
    pe_philox x = {{block, step, use, 0}};
    for (uint32_t round = 0; round < 10; round++, seed += 0x9E3779B9, stream += 0xBB67AE85) {
        uint64_t a = (uint64_t)0xD2511F53 * x.word[0], b = (uint64_t)0xCD9E8D57 * x.word[2];
        x = (pe_philox){{(uint32_t)(b >> 32) ^ x.word[1] ^ seed, (uint32_t)b, (uint32_t)(a >> 32) ^ x.word[3] ^ stream,
                         (uint32_t)a}};
    }
    return x;
}

/* The number of a step from its tensor, 0 .. 2^24, whatever its bits are. */
static inline uint32_t pe_step_number(float step)
{
    return !pe_float_le(1.0f, step) ? 0 : pe_float_le(0x1p+24f, step) ? 1u << 24 : (uint32_t)step;
}
#endif
