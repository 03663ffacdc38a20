#include <immintrin.h>
#define LEVEL avx512
#define FLOATS __m512
#define INTS __m512i
#define FMA(x) _mm512_fmadd_ps((x), _mm512_set1_ps(0.5f), _mm512_set1_ps(1.0f))
#define DOT(x) _mm512_dpbusd_epi32((x), _mm512_set1_epi8(3), _mm512_set1_epi8(5))
#define FMA_MACS 16
#define DOT_MACS 64
#define WIDTH 64
#include "peaks_loops.h"

const pe_peak NAMED(LEVEL) = {SHOWN(LEVEL), PE_ISA_AVX512, fma_f32, dot_s8, read_bytes};
