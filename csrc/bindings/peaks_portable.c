/* What every CPU of the architecture has, as compilers see it: four floats, eight products of 16 bits. */
#define LEVEL portable
typedef float floats __attribute__((vector_size(16)));
typedef short ints __attribute__((vector_size(16)));
#define FLOATS floats
#define INTS ints
#define FMA(x) ((x) * 0.5f + 1.0f)
#define DOT(x) ((x) * (x) + 3)
#define FMA_MACS 4
#define DOT_MACS 8
#define WIDTH 16
#include "peaks_loops.h"

const pe_peak NAMED(LEVEL) = {SHOWN(LEVEL), PE_ISA_PORTABLE, fma_f32, dot_s8, read_bytes};
