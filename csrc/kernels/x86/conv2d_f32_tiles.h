/* Tiles of conv2d_f32 and linear_f32: MR pixels by NR vectors of output channels. A float of each pixel is broadcast and
 * multiplied by the weights of all its channels.
 *
 * Up to 8 channels would leave half of an AVX-512 vector empty. There a vector holds two neighbouring pixels, lane 2 c + p
 * channel c of pixel p. Rows are copied so that the floats of both lie side by side, and 8 bytes are broadcast. */
#ifndef PE_X86_CONV2D_F32_TILES_H
#define PE_X86_CONV2D_F32_TILES_H
#include "kernels/tiles.h"
#include "kernels/x86/f32.h"

/* What a tile needs besides its pixels. */
typedef struct job {
    const float *weights, *bias;
    size_t taps, row; /* rows of windows, floats from one to the next */
    size_t runs, run, run_step;
    size_t pixel;    /* floats of x from one pixel to the next */
    size_t channels; /* of the block */
    size_t stride;   /* floats of y from pixel to pixel */
    pe_clip clip;
} job;

/* n pixels of y, n >= MR of the tile. x: the window of the first. */
typedef void pixels_fn(const job *j, const float *x, size_t n, float *y);

/* MR pixels at once; the last tile goes back over pixels that are done. */
PE_INLINE void pixels(const job *j, const float *x, size_t n, float *y, const int MR, const int NR)
{
    const pe_steps s = pe_steps_of(j->pixel);
    for (size_t done = 0;;) {
        pe_f32v sum[16][8];
        const float *w = j->weights, *row = x + done * j->pixel;
        PE_FOR (k, NR)
            PE_FOR (p, MR)
                sum[p][k] = pe_f32v_load(j->bias + PE_LANES * k);
        for (size_t i = j->taps; i; i--, row += j->row) {
            const float *run = row;
            for (size_t r = j->runs; r; r--, run += j->run_step) {
                const float *at = run, *at8 = run + 8 * j->pixel;
                for (size_t d = j->run; d; d--, at++, at8++, w += PE_LANES * NR) {
                    pe_f32v b[8];
                    PE_FOR (k, NR)
                        b[k] = pe_f32v_load(w + PE_LANES * k);
                    PE_FOR (p, MR) {
                        const pe_f32v a = pe_pixel_broadcast(at, at8, &s, p);
                        PE_FOR (k, NR)
                            sum[p][k] = pe_f32v_fma(a, b[k], sum[p][k]);
                    }
                }
            }
        }
        const pe_clip *bounds = &j->clip;
        __asm__("" : "+r"(bounds)); /* not before the loop, where registers are scarce */
        const pe_clip_v clip = pe_clip_all(bounds);
        float *to = y + done * j->stride;
        const size_t last = j->channels - PE_LANES * (size_t)(NR - 1); /* channels of the last vector */
        PE_FOR (p, MR) {
            PE_FOR (k, NR - 1)
                pe_f32v_store(to + PE_LANES * k, pe_f32v_clip(sum[p][k], &clip));
            const pe_f32v v = pe_f32v_clip(sum[p][NR - 1], &clip);
            if (last == PE_LANES)
                pe_f32v_store(to + PE_LANES * (NR - 1), v);
            else
                pe_f32v_store_first(to + PE_LANES * (NR - 1), v, last);
            to += j->stride;
        }
        done += (size_t)MR;
        if (done == n)
            return;
        if (n - done < (size_t)MR)
            done = n - (size_t)MR;
    }
}

#ifdef __AVX512F__
/* MR pairs of pixels at once, of all channels of y. j->pixel and the other steps of x count both floats of a pair. */
PE_INLINE void pairs(const job *j, const float *x, size_t n, float *y, const int MR)
{
    const size_t pair = 2 * j->pixel, count = (n + 1) / 2;
    const pe_steps s = pe_steps_of(pair);
    const pe_clip_v clip = pe_clip_all(&j->clip);
    const __m512i order = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    const __mmask16 live = (__mmask16)(0x0101 * ((1u << j->channels) - 1));
    for (size_t done = 0;;) {
        pe_f32v sum[16];
        const float *w = j->weights, *row = x + done * pair;
        PE_FOR (p, MR)
            sum[p] = pe_f32v_load(j->bias);
        for (size_t i = j->taps; i; i--, row += j->row) {
            const float *run = row;
            for (size_t r = j->runs; r; r--, run += j->run_step) {
                const float *at = run, *at8 = run + 8 * pair;
                for (size_t d = j->run; d; d--, at += 2, at8 += 2, w += PE_LANES) {
                    const pe_f32v b = pe_f32v_load(w);
                    PE_FOR (p, MR)
                        sum[p] = pe_f32v_fma(pe_pixel_broadcast2(at, at8, &s, p), b, sum[p]);
                }
            }
        }
        PE_FOR (p, MR) {
            const size_t pixel = 2 * (done + (size_t)p);
            const pe_f32v v = _mm512_permutexvar_ps(order, pe_f32v_clip(sum[p], &clip));
            float *to = y + pixel * j->stride;
            if (j->channels == 8 && pixel + 1 < n)
                pe_f32v_store(to, v);
            else
                pe_f32v_store_first(to, _mm512_maskz_compress_ps(live, v),
                                    pixel + 1 < n ? 2 * j->channels : j->channels);
        }
        done += (size_t)MR;
        if (done == count)
            return;
        if (count - done < (size_t)MR)
            done = count - (size_t)MR;
    }
}
#endif

/* clang-format off */
/* Sums, weights and one float of x fit into the 32 or 16 registers. */
#ifdef __AVX512F__
#define NR_MOST 4
#define TILES(X)                                              \
    X(1, 4) X(2, 4) X(3, 4) X(4, 4) X(5, 4) X(6, 4)           \
    X(1, 3) X(2, 3) X(4, 3) X(6, 3) X(8, 3)                   \
    X(1, 2) X(2, 2) X(4, 2) X(6, 2) X(8, 2) X(12, 2) X(14, 2) \
    X(1, 1) X(2, 1) X(4, 1) X(8, 1) X(12, 1) X(16, 1)         \
    X(1, 8)
#define PAIRS_TILES(X) X(1) X(2) X(4) X(8) X(12) X(16)
#else
#define NR_MOST 2
#define TILES(X)                                        \
    X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2)     \
    X(1, 1) X(2, 1) X(4, 1) X(6, 1) X(8, 1) X(12, 1)    \
    X(1, 8)
#endif
#define NR_ROW 8 /* of one pixel: enough sums for the latency of an FMA */
/* clang-format on */

#define TILE(MR, NR)                                                                 \
    static void pixels_##MR##x##NR(const job *j, const float *x, size_t n, float *y) \
    {                                                                                \
        pixels(j, x, n, y, MR, NR);                                                  \
    }
TILES(TILE)
#define TILE_SIZE(MR, NR) {MR, NR},
#define TILE_PIXELS(MR, NR) pixels_##MR##x##NR,
static const pe_tile tiles[] = {TILES(TILE_SIZE)};
static pixels_fn *const pixels_of[] = {TILES(TILE_PIXELS)};

#ifdef __AVX512F__
#define PAIRS_TILE(MR)                                                       \
    static void pairs_##MR(const job *j, const float *x, size_t n, float *y) \
    {                                                                        \
        pairs(j, x, n, y, MR);                                               \
    }
PAIRS_TILES(PAIRS_TILE)
#define PAIRS_SIZE(MR) {MR, 1},
#define PAIRS_PIXELS(MR) pairs_##MR,
static const pe_tile pairs_tiles[] = {PAIRS_TILES(PAIRS_SIZE)};
static pixels_fn *const pairs_of[] = {PAIRS_TILES(PAIRS_PIXELS)};
#endif

/* That for n pixels of a block of nr vectors, or whose pixels share vectors in pairs. */
static pixels_fn *tile_for(bool in_pairs, size_t n, uint32_t nr)
{
#ifdef __AVX512F__
    if (in_pairs)
        return pairs_of[pe_tile_for(pairs_tiles, sizeof pairs_tiles / sizeof pairs_tiles[0], (n + 1) / 2, 1)];
#else
    (void)in_pairs;
#endif
    return pixels_of[pe_tile_for(tiles, sizeof tiles / sizeof tiles[0], n, nr)];
}
#endif
