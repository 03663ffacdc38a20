/* int8 as the kernels of this level have it: products of int16 in pairs, and an addition. */
#include <immintrin.h>
#define LEVEL avx2
#define FLOATS __m256
#define INTS __m256i
#define FMA(x) _mm256_fmadd_ps((x), _mm256_set1_ps(0.5f), _mm256_set1_ps(1.0f))
#define DOT(x) _mm256_add_epi32((x), _mm256_madd_epi16((x), _mm256_set1_epi16(3)))
#define FMA_MACS 8
#define DOT_MACS 16
#define WIDTH 32
#include "peaks_loops.h"

const pe_peak NAMED(LEVEL) = {SHOWN(LEVEL), PE_ISA_AVX2, fma_f32, dot_s8, read_bytes};
