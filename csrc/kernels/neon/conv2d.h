/* Convolutions by tiles of MR pixels by NR channels, for arm64: how a tile sees a layer, and the layer kernel around it. conv2d
 * with one group and no dilation along a row; linear over M rows is the same over M pixels.
 *
 * A row of a window is a run of bytes in x, or in rows of x that are staged with their padding, so windows are not copied. */
#ifndef PE_NEON_CONV2D_H
#define PE_NEON_CONV2D_H
#include "kernels/layers.h"
#include "kernels/neon/neon.h"

typedef struct pe_neon_conv_job {
    const void *weights;   /* [taps][row elements / KR][NR][KR] of the block, rows padded with zeros */
    size_t taps, elements; /* rows of a window, and elements in each with their padding */
    size_t row;            /* bytes of x from one row of a window to the next */
    const void *constants; /* of the block: pe_neon_rq, or floats */
    size_t channels;       /* of the block; y has those alone */
    size_t stride;         /* elements of y from pixel to pixel */
    pe_neon_form form;
    pe_output_s8 out;
    float min, max;
} pe_neon_conv_job;

/* `pixels` >= MR neighbours of y by tiles of MR; the last tile goes back over pixels that are done. x: the window of the first;
 * step: bytes from one to the next. */
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
#define PE_NEON_ROW(name, type, MR, tile, ...)                                                               \
    static void name(const pe_neon_conv_job *job, const uint8_t *x, size_t step, uint8_t *to, size_t pixels) \
    {                                                                                                        \
        const pe_neon_conv_job j = *job;                                                                     \
        type *y = (type *)(void *)to;                                                                        \
        for (;;) {                                                                                           \
            tile(&j, x, step, y, __VA_ARGS__);                                                               \
            if (pixels == MR)                                                                                \
                break;                                                                                       \
            const size_t next = pixels < 2 * MR ? pixels - MR : MR;                                          \
            pixels -= next;                                                                                  \
            x += next * step;                                                                                \
            y += next * j.stride;                                                                            \
        }                                                                                                    \
    }

/* The functions of a pe_layer. tiles lives as long as the layer. */
bool pe_neon_conv_takes(const pe_call *c, const pe_neon_tiles *tiles, pe_layer_bytes *bytes);
void pe_neon_conv_pack(const pe_call *c, const pe_neon_tiles *tiles, void *packed);
void pe_neon_conv_run(const void *packed, uint8_t *arena, uint8_t *work);
#endif
