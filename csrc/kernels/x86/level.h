/* The level that a file of this folder is compiled for: AVX2 with FMA, or AVX-512. Each is included by one file a level
 * (avx2/, avx512/), which has its flags. */
#ifndef PE_X86_LEVEL_H
#define PE_X86_LEVEL_H
#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PE_INLINE static inline __attribute__((always_inline))
/* Not once more for each constant that it is called with. */
#ifdef __clang__
#define PE_NOT_COPIED __attribute__((noinline))
#else
#define PE_NOT_COPIED __attribute__((noinline, noclone))
#endif
/* for (int i = 0; i < n; i++), unrolled whole: n is a constant of the tile. */
#define PE_FOR(i, n) _Pragma("GCC unroll 32") for (int i = 0; i < (n); i++)

#ifdef __AVX512F__
#define PE_LEVEL(name) name##__avx512
#define PE_LEVEL_NAME(name) #name "__avx512"
enum { PE_LANES = 16 }; /* of 32 bits */
#else
#define PE_LEVEL(name) name##__avx2
#define PE_LEVEL_NAME(name) #name "__avx2"
enum { PE_LANES = 8 };
#endif
#endif
