#include "kernels/cpu.h"

#include "pyedge.h"

#if defined __x86_64__ && defined PE_WITH_X86

static void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(subleaf));
}

static int all(uint32_t word, uint32_t bits)
{
    return (word & bits) == bits;
}

/* A feature counts if the operating system saves its registers as well. Slow: a virtual machine may trap cpuid. */
uint32_t pe_cpu_features(void)
{
    enum { FMA = 1 << 12, OSXSAVE = 1 << 27, AVX = 1 << 28, F16C = 1 << 29 };     /* leaf 1, ecx */
    enum { AVX2 = 1 << 5, F = 1 << 16, DQ = 1 << 17, BW = 1 << 30, VL_BIT = 31 }; /* leaf 7, ebx */
    enum { VBMI = 1 << 1, VBMI2 = 1 << 6, VNNI = 1 << 11 };                       /* leaf 7, ecx */
    enum { YMM = 0x6, ZMM = 0xE6 };                                               /* xcr0: state that is saved */
    uint32_t r[4], low, high, features = 0;
    cpuid(0, 0, r);
    if (r[0] < 7)
        return 0;
    cpuid(1, 0, r);
    if (!all(r[2], FMA | OSXSAVE | AVX | F16C))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    cpuid(7, 0, r);
    if (all(low, YMM) && all(r[1], AVX2))
        features |= PE_CPU_AVX2;
    if (all(low, ZMM) && all(r[1], F | DQ | BW | 1u << VL_BIT)) {
        features |= PE_CPU_AVX512;
        features |= all(r[2], VNNI) ? PE_CPU_VNNI : 0;
        features |= all(r[2], VBMI | VBMI2) ? PE_CPU_VBMI : 0;
    }
    return features;
}

#elif !defined PE_WITH_ARM64 && !defined PE_WITH_RISCV64 /* kernels/neon/cpu.c, kernels/rvv/cpu.c: they ask Linux */

uint32_t pe_cpu_features(void)
{
    return 0;
}
#endif
