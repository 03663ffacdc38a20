/* Tiles of conv2d_f16 and linear_f16: MR pixels by NR vectors of output channels. A float of each pixel is broadcast and
 * multiplied by the weights of all its channels, which are float16 or were widened by the first tile of a panel. */
#ifndef PE_X86_CONV2D_F16_TILES_H
#define PE_X86_CONV2D_F16_TILES_H
#include "kernels/tiles.h"
#include "kernels/x86/f16.h"
#include "kernels/x86/f32.h"

/* What a tile needs besides its pixels. */
typedef struct job {
    const uint16_t *weights; /* [k][nr * PE_LANES] */
    float *widened;          /* the same as floats: written by WIDENING, read by WIDENED */
    const float *bias;       /* [nr * PE_LANES] */
    size_t k, x_row;         /* floats from pixel to pixel */
    size_t channels;         /* of the block */
    size_t y_row;            /* elements from pixel to pixel */
    bool y_is_f16;
    pe_clip clip;
} job;

/* n pixels of y, n >= MR of the tile. */
typedef void pixels_fn(const job *j, const float *x, size_t n, void *y, size_t first);

/* To the elements from `at` on of MR pixels of y. */
PE_INLINE void store_tile(const job *j, pe_f32v sum[][8], void *y, size_t at, const int MR, const int NR)
{
    const pe_clip_v clip = pe_clip_all(&j->clip);
    const size_t last = j->channels - PE_LANES * (size_t)(NR - 1); /* channels of the last vector */
    uint16_t *halves = (uint16_t *)y + at;
    float *floats = (float *)y + at;
    if (j->y_is_f16) {
        PE_FOR (p, MR) {
            PE_FOR (k, NR)
                pe_f16v_store_first(halves + PE_LANES * k, pe_f32v_clip(sum[p][k], &clip),
                                    k < NR - 1 ? PE_LANES : last);
            halves += j->y_row;
        }
        return;
    }
    PE_FOR (p, MR) {
        PE_FOR (k, NR - 1)
            pe_f32v_store(floats + PE_LANES * k, pe_f32v_clip(sum[p][k], &clip));
        pe_f32v_store_first(floats + PE_LANES * (NR - 1), pe_f32v_clip(sum[p][NR - 1], &clip), last);
        floats += j->y_row;
    }
}

typedef enum weights_as { HALVES, WIDENING, WIDENED } weights_as;

/* MR pixels at once; the last tile goes back over pixels that are done. */
PE_INLINE void pixels(const job *j, const float *x, size_t n, void *y, size_t first, const int MR, const int NR,
                      const weights_as AS)
{
    const pe_steps s = pe_steps_of(j->x_row);
    for (size_t done = 0;;) {
        pe_f32v sum[16][8];
        const float *at = x + done * j->x_row, *at8 = at + 8 * j->x_row;
        float *w = j->widened;
        const uint16_t *halves = j->weights;
        PE_FOR (k, NR)
            PE_FOR (p, MR)
                sum[p][k] = pe_f32v_load(j->bias + PE_LANES * k);
        for (size_t i = j->k; i; i--, at++, at8++, w += PE_LANES * NR, halves += PE_LANES * NR) {
            pe_f32v b[8];
            PE_FOR (k, NR) {
                b[k] = AS == WIDENED ? pe_f32v_load(w + PE_LANES * k) : pe_f16v_load(halves + PE_LANES * k);
                if (AS == WIDENING)
                    pe_f32v_store(w + PE_LANES * k, b[k]);
            }
            PE_FOR (p, MR) {
                const pe_f32v a = pe_pixel_broadcast(at, at8, &s, p);
                PE_FOR (k, NR)
                    sum[p][k] = pe_f32v_fma(a, b[k], sum[p][k]);
            }
        }
        store_tile(j, sum, y, first + done * j->y_row, MR, NR);
        done += (size_t)MR;
        if (done == n)
            return;
        if (n - done < (size_t)MR)
            done = n - (size_t)MR;
    }
}

/* The same with sums in float16. */
PE_INLINE void pixels_fast16(const job *j, const float *x, size_t n, void *y, size_t first, const int MR, const int NR)
{
    for (size_t done = 0;;) {
        pe_f32v sum[4][8];
        const float *at = x + done * j->x_row;
        const uint16_t *w = j->weights;
        PE_FOR (k, NR)
            PE_FOR (p, MR)
                sum[p][k] = pe_f32v_load(j->bias + PE_LANES * k);
        for (size_t left = j->k, runs; left; left -= runs) {
            pe_f32v run[4][4];
            PE_FOR (k, NR)
                PE_FOR (p, MR)
                    run[p][k] = pe_f32v_all(0);
            runs = left < PE_FAST16_RUN ? left : PE_FAST16_RUN;
            for (size_t i = runs; i; i--, at++, w += PE_LANES * NR)
                PE_FOR (k, NR) {
                    const pe_f32v b = pe_f16v_load(w + PE_LANES * k);
                    PE_FOR (p, MR)
                        run[p][k] = pe_f16v_fma(pe_f32v_all(at[(size_t)p * j->x_row]), b, run[p][k]);
                }
            PE_FOR (k, NR)
                PE_FOR (p, MR)
                    sum[p][k] = pe_f32v_add(sum[p][k], run[p][k]);
        }
        store_tile(j, sum, y, first + done * j->y_row, MR, NR);
        done += (size_t)MR;
        if (done == n)
            return;
        if (n - done < (size_t)MR)
            done = n - (size_t)MR;
    }
}

/* clang-format off */
/* Sums, weights and one float of x fit into the 32 or 16 registers. NR of many pixels keeps the traffic from the second-level
 * cache low; that of few has enough sums for the latency of an FMA. */
#ifdef __AVX512F__
enum { NR_MANY = 2, NR_FEW = 4, MR_MOST = 14 };
#define TILES_MANY(X) \
    X(1, 2) X(2, 2) X(4, 2) X(6, 2) X(8, 2) X(10, 2) X(12, 2) X(14, 2) \
    X(1, 1) X(2, 1) X(4, 1) X(8, 1) X(14, 1)
#define TILES_FEW(X) \
    X(1, 8) \
    X(1, 4) X(2, 4) X(3, 4) X(4, 4) X(6, 4) \
    X(1, 3) X(2, 3) X(4, 3) X(8, 3) \
    X(1, 2) X(2, 2) X(4, 2) X(8, 2) \
    X(1, 1) X(2, 1) X(4, 1) X(8, 1)
#else
enum { NR_MANY = 2, NR_FEW = 2, MR_MOST = 6 };
#define TILES_MANY(X) \
    X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2) \
    X(1, 1) X(2, 1) X(4, 1) X(8, 1)
#define TILES_FEW(X) \
    X(1, 8) \
    X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2) \
    X(1, 1) X(2, 1) X(4, 1) X(8, 1)
#endif
#define TILES_FAST16(X) X(1, 1) X(2, 1) X(4, 1) X(1, 2) X(1, 3) X(1, 4)
enum { NR_ROW = 8, NR_FAST16_FEW = 4 };
/* clang-format on */

#define TILE_MANY(MR, NR)                                                                       \
    static void many_##MR##x##NR(const job *j, const float *x, size_t n, void *y, size_t first) \
    {                                                                                           \
        pixels(j, x, n, y, first, MR, NR, WIDENED);                                             \
    }
#define TILE_FEW(MR, NR)                                                                       \
    static void few_##MR##x##NR(const job *j, const float *x, size_t n, void *y, size_t first) \
    {                                                                                          \
        pixels(j, x, n, y, first, MR, NR, HALVES);                                             \
    }
#define TILE_FAST16(MR, NR)                                                                       \
    static void fast16_##MR##x##NR(const job *j, const float *x, size_t n, void *y, size_t first) \
    {                                                                                             \
        pixels_fast16(j, x, n, y, first, MR, NR);                                                 \
    }
#define TILE_FIRST(NR)                                                                    \
    static void first_##NR(const job *j, const float *x, size_t n, void *y, size_t first) \
    {                                                                                     \
        pixels(j, x, n, y, first, MR_MOST, NR, WIDENING);                                 \
    }
TILES_MANY(TILE_MANY)
TILE_FIRST(1)
TILE_FIRST(2)
TILES_FEW(TILE_FEW)
TILES_FAST16(TILE_FAST16)

#define TILE_SIZE(MR, NR) {MR, NR},
#define MANY(MR, NR) many_##MR##x##NR,
#define FEW(MR, NR) few_##MR##x##NR,
#define FAST16(MR, NR) fast16_##MR##x##NR,
static const pe_tile sizes_many[] = {TILES_MANY(TILE_SIZE)}, sizes_few[] = {TILES_FEW(TILE_SIZE)},
                     sizes_fast16[] = {TILES_FAST16(TILE_SIZE)};
static pixels_fn *const pixels_many[] = {TILES_MANY(MANY)}, *const pixels_few[] = {TILES_FEW(FEW)},
                        *const pixels_of_fast16[] = {TILES_FAST16(FAST16)};

/* That for n pixels of a block of nr vectors. */
static pixels_fn *tile_for(bool fast16, bool widened, size_t n, uint32_t nr)
{
    if (fast16)
        return pixels_of_fast16[pe_tile_for(sizes_fast16, sizeof sizes_fast16 / sizeof *sizes_fast16, n, nr)];
    if (widened)
        return pixels_many[pe_tile_for(sizes_many, sizeof sizes_many / sizeof *sizes_many, n, nr)];
    return pixels_few[pe_tile_for(sizes_few, sizeof sizes_few / sizeof *sizes_few, n, nr)];
}
#endif
