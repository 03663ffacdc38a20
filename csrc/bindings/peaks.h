/* What one core can do at most, level by level (cpu.h): loops that do nothing else. For `pyedge bench`, not for kernels. */
#ifndef PE_PEAKS_H
#define PE_PEAKS_H
#include <stddef.h>
#include <stdint.h>

typedef struct pe_peak {
    const char *level;
    uint32_t needs; /* features */
    /* `rounds` of multiply-accumulates on chains that do not wait for each other; returns how many, of single elements. sink
     * gets what came out, so that no compiler leaves them out. */
    uint64_t (*fma_f32)(uint64_t rounds, void *sink);
    uint64_t (*dot_s8)(uint64_t rounds, void *sink);
    /* Reads bytes, a multiple of 256, from a multiple of 64, once. */
    void (*read)(const void *p, size_t bytes, void *sink);
} pe_peak;

extern const pe_peak pe_peak_portable, pe_peak_avx2, pe_peak_avx512, pe_peak_neon, pe_peak_dotprod;
#endif
