/* int8 as the kernels of this level have it: products of int16, added to sums of 32 bits. */
#include <arm_neon.h>
#define LEVEL neon
#define FLOATS float32x4_t
#define INTS int32x4_t
#define FMA(x) vfmaq_f32(vdupq_n_f32(1.0f), (x), vdupq_n_f32(0.5f))
#define DOT(x) vmlal_s16((x), vdup_n_s16(3), vdup_n_s16(5))
#define FMA_MACS 4
#define DOT_MACS 4
#define WIDTH 16
#include "peaks_loops.h"

const pe_peak NAMED(LEVEL) = {SHOWN(LEVEL), PE_ISA_NEON, fma_f32, dot_s8, read_bytes};
