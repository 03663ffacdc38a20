/* Depthwise convolutions by tiles of pixels by 16 lanes, for arm64: how a tile sees a layer, and the layer kernel around it.
 *
 * A lane is a channel. Where the stride along a row is 1 and 16 is a multiple of the channels, 16 lanes are all channels of
 * several neighbours, which lie next to each other in x as in y: these count as one pixel. */
#ifndef PE_NEON_DEPTHWISE_H
#define PE_NEON_DEPTHWISE_H
#include "kernels/layers.h"
#include "kernels/neon/neon.h"

enum { PE_NEON_LANES = 16, PE_NEON_DW_PIXELS = 4 };

typedef struct pe_neon_dw_job {
    const void *weights;   /* [taps][16] */
    const void *constants; /* pe_neon_rq, or floats */
    size_t taps;
    const size_t *offset; /* of each tap: bytes from the first */
    size_t pixel;         /* bytes of x from pixel to pixel */
    size_t stride;        /* elements of y from pixel to pixel */
    pe_output_s8 out;
    float min, max;
} pe_neon_dw_job;

/* Some pixels of y, the first `lanes` lanes of each. x: the first tap of the first pixel; 16 lanes of each tap are read. */
typedef void pe_neon_dw_fn(const pe_neon_dw_job *j, const uint8_t *x, uint8_t *y, size_t lanes);

typedef struct pe_neon_dw_tiles {
    uint8_t element;           /* bytes: 1, 4 */
    uint8_t even;              /* 1: taps are made even, by one of weight 0 */
    pe_neon_dw_fn *one, *four; /* pixels */
} pe_neon_dw_tiles;

/* The functions of a pe_layer. tiles lives as long as the layer. */
bool pe_neon_dw_takes(const pe_call *c, const pe_neon_dw_tiles *tiles, pe_layer_bytes *bytes);
void pe_neon_dw_pack(const pe_call *c, const pe_neon_dw_tiles *tiles, void *packed);
void pe_neon_dw_run(const void *packed, uint8_t *arena, uint8_t *work);
#endif
