/* What a CPU can do, as the kernels ask for it: the bits of pe_cpu_features() (pyedge.h). */
#ifndef PE_CPU_H
#define PE_CPU_H
/* Features of any architecture share the 32 bits; those of another one are never set. */
enum {
    PE_CPU_AVX2 = 1 << 0,   /* with FMA and F16C: every CPU with AVX2 has them but one (VIA) */
    PE_CPU_AVX512 = 1 << 1, /* F, BW, DQ, VL */
    PE_CPU_VNNI = 1 << 2,   /* AVX512_VNNI */
    PE_CPU_VBMI = 1 << 3,   /* AVX512_VBMI and AVX512_VBMI2: permutes and expansion of bytes */
};

/* Levels that PYEDGE_ISA names: sets of features that kernels ask for together. */
enum {
    PE_ISA_PORTABLE = 0,
    PE_ISA_AVX2 = PE_CPU_AVX2,
    PE_ISA_AVX512 = PE_ISA_AVX2 | PE_CPU_AVX512 | PE_CPU_VNNI | PE_CPU_VBMI, /* Ice Lake, Zen 4 and newer */
};

#endif
