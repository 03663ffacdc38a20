/* What a CPU can do, as the kernels ask for it: the bits of pe_cpu_features() (pyedge.h). */
#ifndef PE_CPU_H
#define PE_CPU_H
/* Features of any architecture share the 32 bits; those of another one are never set. */
enum {
    PE_CPU_AVX2 = 1 << 0,   /* with FMA and F16C: every CPU with AVX2 has them but one (VIA) */
    PE_CPU_AVX512 = 1 << 1, /* F, BW, DQ, VL */
    PE_CPU_VNNI = 1 << 2,   /* AVX512_VNNI */
    PE_CPU_VBMI = 1 << 3,   /* AVX512_VBMI and AVX512_VBMI2: permutes and expansion of bytes */

    PE_CPU_NEON = 1 << 8,     /* Armv8.0: every arm64 CPU with Linux */
    PE_CPU_FP16 = 1 << 9,     /* FEAT_FP16, arithmetic; of what follows a CPU may have any without the others */
    PE_CPU_DOTPROD = 1 << 10, /* FEAT_DotProd: Cortex-A76 has it, Carmel has FP16 alone */
    PE_CPU_FHM = 1 << 11,     /* FEAT_FHM: fmlal */
    PE_CPU_I8MM = 1 << 12,    /* FEAT_I8MM */

    PE_CPU_RVV = 1 << 16,  /* RISC-V V 1.0 */
    PE_CPU_ZVFH = 1 << 17, /* Zvfh, vectors of float16 */
};

/* What every CPU has that this build runs on: a firmware is compiled for its core. */
#if defined PE_WITH_ZVFH && defined __riscv_zvfh
#define PE_CPU_BUILT_FOR (PE_CPU_RVV | PE_CPU_ZVFH)
#elif defined PE_WITH_RVV && defined __riscv_vector
#define PE_CPU_BUILT_FOR PE_CPU_RVV
#else
#define PE_CPU_BUILT_FOR 0
#endif

/* Levels that PYEDGE_ISA names: sets of features that kernels ask for together. */
enum {
    PE_ISA_PORTABLE = 0,
    PE_ISA_AVX2 = PE_CPU_AVX2,
    PE_ISA_AVX512 = PE_ISA_AVX2 | PE_CPU_AVX512 | PE_CPU_VNNI | PE_CPU_VBMI, /* Ice Lake, Zen 4 and newer */
    PE_ISA_NEON = PE_CPU_NEON,                                               /* Cortex-A53, A57, A72 */
    PE_ISA_FP16 = PE_ISA_NEON | PE_CPU_FP16,                                 /* Carmel */
    PE_ISA_DOTPROD = PE_ISA_FP16 | PE_CPU_DOTPROD,                           /* Cortex-A55, A76 and newer */
    PE_ISA_I8MM = PE_ISA_DOTPROD | PE_CPU_FHM | PE_CPU_I8MM,                 /* Neoverse V1, Cortex-A710 and newer */
    PE_ISA_RVV = PE_CPU_RVV,
    PE_ISA_ZVFH = PE_ISA_RVV | PE_CPU_ZVFH,
};

/* What the kernels of an arch (kernels_list.h) ask for. On arm64 single features, which a CPU may have without those below. */
enum {
    PE_NEEDS_avx2 = PE_ISA_AVX2,
    PE_NEEDS_avx512 = PE_ISA_AVX512,
    PE_NEEDS_neon = PE_CPU_NEON,
    PE_NEEDS_fp16 = PE_CPU_NEON | PE_CPU_FP16,
    PE_NEEDS_dotprod = PE_CPU_NEON | PE_CPU_DOTPROD,
    PE_NEEDS_fhm = PE_CPU_NEON | PE_CPU_FHM,
    PE_NEEDS_i8mm = PE_CPU_NEON | PE_CPU_I8MM,
};
#endif
