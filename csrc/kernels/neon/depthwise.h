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
    const void *weights;   /* [taps][16], of w's type */
    const void *constants; /* pe_neon_rq, or float biases */
    size_t taps;
    const size_t *offset; /* of each tap: bytes from the first */
    size_t pixel;         /* bytes of x from pixel to pixel */
    size_t stride;        /* bytes of y from pixel to pixel */
    size_t lanes;         /* of y; x has 16 of each tap */
    pe_neon_form form;
    pe_output_s8 out;
    float min, max;
    bool y_is_f16;
} pe_neon_dw_job;

/* `pixels` >= MR neighbours of y by tiles of MR; the last tile goes back over pixels that are done. x: the first tap of the
 * first pixel. */
typedef void pe_neon_dw_fn(const pe_neon_dw_job *j, const uint8_t *x, uint8_t *y, size_t pixels);

typedef struct pe_neon_dw_tiles {
    pe_neon_dw_fn *row[PE_NEON_DW_PIXELS + 1]; /* of MR pixels; none of 0 */
} pe_neon_dw_tiles;

/* A row function of MR pixels at a time: tile(job, x, y, constants of the tile). Its copy of the job is one that y cannot
 * be. */
#define PE_NEON_DW_ROW(name, MR, tile, ...)                                                  \
    static void name(const pe_neon_dw_job *job, const uint8_t *x, uint8_t *y, size_t pixels) \
    {                                                                                        \
        const pe_neon_dw_job j = *job;                                                       \
        for (;;) {                                                                           \
            tile(&j, x, y, __VA_ARGS__);                                                     \
            if (pixels == MR)                                                                \
                break;                                                                       \
            const size_t next = pixels < 2 * MR ? pixels - MR : MR;                          \
            pixels -= next;                                                                  \
            x += next * j.pixel;                                                             \
            y += next * j.stride;                                                            \
        }                                                                                    \
    }

/* The functions of a pe_layer. tiles are those of the types of x and w. */
bool pe_neon_dw_takes(const pe_call *c, pe_layer_bytes *bytes);
void pe_neon_dw_pack(const pe_call *c, const pe_neon_dw_tiles *tiles, void *packed);
void pe_neon_dw_run(const void *packed, uint8_t *arena, uint8_t *work);
#endif
