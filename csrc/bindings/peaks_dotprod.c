#include <arm_neon.h>
#define LEVEL dotprod
#define FLOATS float32x4_t
#define INTS int32x4_t
#define FMA(x) vfmaq_f32(vdupq_n_f32(1.0f), (x), vdupq_n_f32(0.5f))
#define DOT(x) vdotq_s32((x), vdupq_n_s8(3), vdupq_n_s8(5))
#define FMA_MACS 4
#define DOT_MACS 16
#define WIDTH 16
#include "peaks_loops.h"

const pe_peak NAMED(LEVEL) = {SHOWN(LEVEL), PE_ISA_DOTPROD, fma_f32, dot_s8, read_bytes};
