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
    pe_output_s8 out;
    float min, max;
} pe_neon_conv_job;

/* MR pixels of y. x: the window of the first; step: bytes from one to the next. */
typedef void pe_neon_tile_fn(const pe_neon_conv_job *j, const uint8_t *x, size_t step, uint8_t *y);

enum { PE_NEON_MR = 8 };

/* The tiles of a type on a level. */
typedef struct pe_neon_tiles {
    uint8_t element; /* bytes: 1, 4 */
    uint8_t kr;      /* neighbours in k that stand together for each channel */
    uint8_t pad;     /* elements: rows of windows are read up to a multiple of it */
    uint8_t nr;
    pe_neon_tile_fn *tile[PE_NEON_MR + 1]; /* of MR pixels; NULL: there is none */
} pe_neon_tiles;

/* The functions of a pe_layer. tiles lives as long as the layer. */
bool pe_neon_conv_takes(const pe_call *c, const pe_neon_tiles *tiles, pe_layer_bytes *bytes);
void pe_neon_conv_pack(const pe_call *c, const pe_neon_tiles *tiles, void *packed);
void pe_neon_conv_run(const void *packed, uint8_t *arena, uint8_t *work);
#endif
