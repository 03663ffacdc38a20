/* Convolutions by tiles of MR pixels by NR channels, for arm64: how a tile sees a layer, and the layer kernel around it. conv2d
 * with one group and no dilation along a row; linear over M rows is the same over M pixels.
 *
 * A row of a window is a run of bytes in x, or in rows of x that are staged with their padding, so windows are not copied. */
#ifndef PE_NEON_CONV2D_H
#define PE_NEON_CONV2D_H
#include "kernels/layers.h"
#include "kernels/neon/neon.h"

typedef struct pe_neon_conv_job {
    size_t rows, next, y_row;            /* of y; bytes of x and elements of y from row to row */
    size_t blocks;                       /* of NR channels, next to each other */
    size_t weights_step, constants_step; /* bytes from block to block */
    const void *weights;                 /* [taps][row elements / KR][NR][KR] of a block, rows padded with zeros */
    size_t taps, elements;               /* rows of a window, and elements in each with their padding */
    size_t row;                          /* bytes of x from one row of a window to the next */
    const void *constants;               /* of a block: pe_neon_rq, or floats */
    size_t channels, nr;                 /* y has those alone; for a tile: of its block */
    size_t stride;                       /* elements of y from pixel to pixel */
    pe_neon_form form;
    pe_output_s8 out;
    float min, max;
} pe_neon_conv_job;

/* Rows of `pixels` >= MR neighbours of y by tiles of MR, block by block, so that a block's weights stay in the cache; the last
 * tile of a row goes back over pixels that are done. x: the window of the first; step: bytes from one to the next. */
typedef void pe_neon_row_fn(const pe_neon_conv_job *j, const uint8_t *x, size_t step, uint8_t *y, size_t pixels);

enum { PE_NEON_MR = 8 };

/* The tiles of a type on a level. */
typedef struct pe_neon_tiles {
    uint8_t element; /* bytes: 1, 4 */
    uint8_t kr;      /* neighbours in k that stand together for each channel */
    uint8_t pad;     /* elements: rows of windows are padded to a multiple of it, in weights */
    uint8_t reach;   /* elements: and read up to a multiple of it */
    uint8_t nr;
    pe_neon_row_fn *row[PE_NEON_MR + 1];  /* of MR pixels; NULL: there is none */
    pe_neon_row_fn *half[PE_NEON_MR + 1]; /* for a last block of nr / 2 channels; all NULL: that is a whole one, too */
} pe_neon_tiles;

/* A row function of MR pixels at a time, whose elements of y are of a type: tile(job, x, step, y, constants of the tile). Its
 * copy of the job is one that y cannot be. */
#define PE_NEON_ROW(name, type, MR, tile, ...)                                                              \
    static void name(const pe_neon_conv_job *job, const uint8_t *first, size_t step, uint8_t *to, size_t n) \
    {                                                                                                       \
        pe_neon_conv_job j = *job;                                                                          \
        for (size_t left = j.channels, b = j.blocks; b; b--, left -= j.nr, to += j.nr * sizeof(type)) {     \
            j.channels = left < j.nr ? left : j.nr;                                                         \
            for (size_t r = 0; r < j.rows; r++) {                                                           \
                const uint8_t *x = first + r * j.next;                                                      \
                type *y = (type *)(void *)to + r * j.y_row;                                                 \
                for (size_t pixels = n;;) {                                                                 \
                    tile(&j, x, step, y, __VA_ARGS__);                                                      \
                    if (pixels == MR)                                                                       \
                        break;                                                                              \
                    const size_t by = pixels < 2 * MR ? pixels - MR : MR;                                   \
                    pixels -= by;                                                                           \
                    x += by * step;                                                                         \
                    y += by * j.stride;                                                                     \
                }                                                                                           \
            }                                                                                               \
            j.weights = (const uint8_t *)j.weights + j.weights_step;                                        \
            j.constants = (const uint8_t *)j.constants + j.constants_step;                                  \
        }                                                                                                   \
    }

/* The functions of a pe_layer. tiles lives as long as the layer. */
bool pe_neon_conv_takes(const pe_call *c, const pe_neon_tiles *tiles, pe_layer_bytes *bytes);
void pe_neon_conv_pack(const pe_call *c, const pe_neon_tiles *tiles, void *packed);
void pe_neon_conv_run(const void *packed, uint8_t *arena, uint8_t *work);
#endif
