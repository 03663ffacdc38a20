#include "kernels/avx512/conv2d_s8_tiles.h"
#include "kernels/avx512/stage.h"
#include "kernels/conv_shape.h"

/* conv2d_s8 with one group and no dilation along a row; linear_s8 with several rows is the same over M pixels.
 *
 * Rows of x are staged in bands. There a row of a window is a run of bytes, so that no windows are copied: a tile of MR
 * pixels by NR * 16 channels broadcasts 4 bytes of each pixel and multiplies them by 4 weights of each channel. Runs that
 * are no multiple of 4 bytes end in zero weights. Rows of windows that lie above or below the image are skipped where
 * padding is 0 as u, which is where zero_point(x) is -128. A product is one row of pixels, staged in chunks that leave room in
 * the L2 cache. */

#define CHUNK_BYTES (1 << 18)
#define MIN_COLUMNS 16   /* of a chunk: no fewer than a tile has */
#define BAND_BYTES 32768 /* staged rows at once, if that is more than one row of y needs */

#define WORK_BYTES (16 << 20) /* staged rows at most: padding or dilation that dwarfs the image is not worth it */

/* Channels that tiles do together: NR * 16, the last block has fewer. */
typedef struct block {
    uint32_t first, channels;
    uint32_t nr, form;
    pixels_fn *pixels;         /* of whole rows */
    size_t weights, constants; /* offsets from the start of the layer: [kh][kd][nr][64], pe_rq16[nr] */
} block;

typedef struct layer {
    size_t x, y; /* in the arena */
    size_t x_image, y_image;
    int32_t images, rows, cols;          /* of y */
    int32_t band;                        /* rows of y */
    int32_t stride, dilation, pad, taps; /* along a column of x */
    int32_t staged_stride, staged_taps;  /* staged rows from one row of y to the next, and from tap to tap */
    bool skip;                           /* rows of padding */
    size_t window_row, kd;               /* bytes of a row of a window; in steps of 4, narrow: 8 */
    bool narrow;                         /* one block of up to 8 channels */
    bool product;                        /* a window is one pixel, and pixels are neighbours */
    int32_t pieces;                      /* rows of all images; columns of a product */
    size_t pixel;                        /* staged bytes from one pixel of y to the next */
    uint32_t channels, blocks;
    pe_stage stage;
    pe_output_s8 out;
    block block[];
} layer;

static size_t align64(size_t n)
{
    return (n + 63) / 64 * 64;
}

static uint32_t nr_of(uint32_t channels)
{
    return channels > 48 ? 4 : (channels + 15) / 16;
}

/* Rows of x that n rows of y need. */
static int32_t staged_rows(const layer *l, int32_t n)
{
    return (n - 1) * l->staged_stride + (l->taps - 1) * l->staged_taps + 1;
}

/* Most columns of a product that are staged at once; the last chunk may take MIN_COLUMNS more. */
static size_t chunk_columns(const layer *l)
{
    const size_t n = CHUNK_BYTES / l->pixel;
    return (n > MIN_COLUMNS ? n : MIN_COLUMNS) + MIN_COLUMNS;
}

static pe_layer_part_fn run_part;

/* Everything but the blocks. False: not a case of these kernels. */
static bool describe(const pe_call *c, layer *l, pe_layer_bytes *bytes)
{
    pe_conv_shape shape;
    if (!pe_conv_shape_of(c, &shape))
        return false;
    const pe_axis h = shape.h, v = shape.w;
    const int32_t c_in = (int32_t)shape.c, c_out = (int32_t)shape.c_out, images = shape.images;
    l->out = shape.out;
    const size_t pixel = (size_t)c_in;
    l->x = c->tensor[0]->offset;
    l->y = c->tensor[3]->offset;
    l->x_image = (size_t)h.in * (size_t)v.in * pixel;
    l->y_image = (size_t)h.out * (size_t)v.out * (size_t)c_out;
    l->images = images;
    l->rows = h.out;
    l->cols = v.out;
    l->stride = h.stride;
    l->dilation = h.dilation;
    l->pad = h.pad;
    l->taps = h.taps;
    l->skip = shape.x_zero_point == -128;
    l->window_row = (size_t)v.taps * pixel;
    l->narrow = c_out <= 8 && v.out >= 8;
    l->kd = l->narrow ? (l->window_row + 7) / 8 : (l->window_row + 3) / 4;
    l->pixel = (size_t)v.stride * pixel;
    l->channels = (uint32_t)c_out;
    l->blocks = ((uint32_t)c_out + 63) / 64;
    l->stage = (pe_stage){
        .rows = h.in,
        .step = h.taps == 1 ? h.stride : 1, /* rows between windows of one row are not staged */
        .row_bytes = (size_t)v.in * pixel,
        .left = (size_t)v.pad * pixel,
        .right = (size_t)shape.behind * pixel,
        .body = (size_t)shape.body * pixel,
        .c = (uint32_t)c_in,
        .c_staged = (uint32_t)c_in,
        .fill = (uint8_t)(shape.x_zero_point + 128),
    };
    l->staged_stride = h.taps == 1 ? 1 : h.stride;
    l->staged_taps = h.dilation;
    const size_t stride = pe_stage_stride(&l->stage);
    l->band = h.out;
    while (l->band > 1 && (size_t)staged_rows(l, l->band) * stride > BAND_BYTES)
        l->band = (l->band + 1) / 2;
    bytes->work = (size_t)staged_rows(l, l->band) * stride + PE_STAGE_SLACK;
    l->product =
        images * h.out == 1 && h.taps == 1 && h.pad == 0 && v.taps == 1 && v.stride == 1 && v.pad == 0 && v.in == v.out;
    l->pieces = l->product ? v.out : images * h.out;
    if (l->product) {
        const size_t columns = chunk_columns(l);
        bytes->work = (columns < (size_t)v.out ? columns : (size_t)v.out) * pixel + 64 + PE_STAGE_SLACK;
    }
    const uint64_t macs = (uint64_t)images * (uint64_t)h.out * (uint64_t)v.out * c->tensor[1]->bytes;
    bytes->part = macs >= PE_MACS_TO_SPLIT ? run_part : NULL;
    bytes->packed = align64(sizeof *l + l->blocks * sizeof(block));
    if (bytes->work > WORK_BYTES)
        return false;
    for (uint32_t first = 0; first < l->channels; first += 64) {
        const uint32_t n = l->channels - first < 64 ? l->channels - first : 64;
        bytes->packed += nr_of(n) * ((size_t)l->taps * l->kd * 64 + sizeof(pe_rq16));
    }
    return true;
}

static bool takes(const pe_call *c, pe_layer_bytes *bytes)
{
    layer l;
    return describe(c, &l, bytes);
}

/* One block: weights in the order of the tiles, and constants. */
static void pack_block(const layer *l, block *b, const int8_t *w, const pe_channel *q, int8_t *weights, pe_rq16 *to)
{
    const size_t taps = (size_t)l->taps, row = l->window_row, window = taps * row;
    pe_rq_channel channels[64];
    float scale[64], offset[64];
    for (uint32_t i = 0; i < b->channels; i++) {
        channels[i] = (pe_rq_channel){.q = q[b->first + i]};
        pe_rq_add_weights(&channels[i], w + (b->first + i) * window, window, 1);
    }
    b->form = pe_rq_choose(channels, b->channels, &l->out, scale, offset);
    for (uint32_t v = 0; v < b->nr; v++)
        for (uint32_t i = 0; i < 16; i++) {
            const uint32_t channel = l->narrow ? i / 2 : channel_of(b->nr, v, i);
            if (channel >= b->channels)
                continue; /* zeros: a result that is not stored */
            pe_rq_set(&to[v], i, b->form, &channels[channel], &l->out, scale[channel], offset[channel]);
            const int8_t *from = w + (b->first + channel) * window;
            if (l->narrow) {
                const size_t half = i % 2; /* of 8 bytes; the bias counts once */
                to[v].bias[i] = half ? 0 : to[v].bias[i];
                for (size_t t = 0; t < taps; t++)
                    for (size_t k = 0; k < row; k++)
                        if (k / 4 % 2 == half)
                            weights[(t * l->kd + k / 8) * 64 + 4 * i + k % 4] = from[t * row + k];
                continue;
            }
            for (size_t t = 0; t < taps; t++)
                for (size_t k = 0; k < row; k++)
                    weights[((t * l->kd + k / 4) * b->nr + v) * 64 + 4 * i + k % 4] = from[t * row + k];
        }
}

static void pack(const pe_call *c, void *packed)
{
    layer *l = packed;
    pe_layer_bytes bytes = {0};
    __builtin_memset(packed, 0, sizeof *l);
    describe(c, l, &bytes);
    __builtin_memset(packed, 0, bytes.packed);
    describe(c, l, &bytes);
    size_t at = align64(sizeof *l + l->blocks * sizeof(block));
    for (uint32_t i = 0; i < l->blocks; i++) {
        block *b = &l->block[i];
        b->first = 64 * i;
        b->channels = l->channels - b->first < 64 ? l->channels - b->first : 64;
        b->nr = nr_of(b->channels);
        b->pixels = tile_for(l->narrow, (size_t)l->cols, b->nr);
        b->constants = at;
        at += b->nr * sizeof(pe_rq16);
        b->weights = at;
        at += b->nr * (size_t)l->taps * l->kd * 64;
        pack_block(l, b, c->data[1], c->data[2], (int8_t *)packed + b->weights,
                   (void *)((uint8_t *)packed + b->constants));
    }
}

/* Blocks first .. end - 1 of rows r .. r_end - 1 of y, or of a chunk of n columns. staged: of row r; y: the image's, or the
 * chunk's. */
static void run_blocks(const layer *l, const block *first, const block *end, int32_t r, int32_t r_end, int32_t n,
                       const uint8_t *staged, size_t stride, int8_t *y)
{
    const size_t y_row = (size_t)l->cols * l->channels;
    for (const block *b = first; b != end; b++) {
        const int8_t *weights = (const int8_t *)l + b->weights;
        const size_t tap_bytes = l->kd * b->nr * 64;
        pixels_fn *const tile = n == l->cols ? b->pixels : tile_for(l->narrow, (size_t)n, b->nr);
        job j = {.kd = l->kd,
                 .row = stride * (size_t)l->staged_taps,
                 .q = (const void *)((const uint8_t *)l + b->constants),
                 .form = (pe_rq_form)b->form,
                 .channels = b->channels,
                 .stride = l->channels,
                 .out = &l->out};
        for (int32_t i = r; i < r_end; i++) {
            const int32_t top = i * l->stride - l->pad;
            int32_t from = 0, to = l->taps;
            if (l->skip) {
                const int32_t d = l->dilation, below = l->stage.rows - top; /* rows of x from top on */
                const int32_t inside = below <= 0 ? 0 : (below + d - 1) / d;
                from = top < 0 ? (-top + d - 1) / d : 0;
                to = inside < to ? inside : to;
                from = from < to ? from : to;
            }
            j.weights = weights + (size_t)from * tap_bytes;
            j.taps = (size_t)(to - from);
            tile(&j, staged + (size_t)(i - r) * (size_t)l->staged_stride * stride + (size_t)from * j.row, l->pixel,
                 (size_t)n, y + (size_t)i * y_row + b->first);
        }
    }
}

/* Columns col .. end - 1 of a product. */
static void run_columns(const layer *l, const block *first, const block *last, int32_t col, int32_t end,
                        const uint8_t *x, int8_t *y, uint8_t *work)
{
    const int32_t most = (int32_t)chunk_columns(l);
    for (int32_t n; col < end; col += n) {
        n = end - col <= most ? end - col : most - MIN_COLUMNS;
        pe_stage stage = l->stage;
        stage.body = (size_t)n * l->pixel;
        pe_stage_rows(&stage, x + (size_t)col * l->pixel, 0, 1, work);
        run_blocks(l, first, last, 0, 1, n, work + pe_stage_gap(&stage), 0, y + (size_t)col * l->channels);
    }
}

/* Rows piece .. last - 1 of all images. */
static void run_rows(const layer *l, const block *first, const block *end, int32_t piece, int32_t last,
                     const uint8_t *x, int8_t *y, uint8_t *work)
{
    const size_t stride = pe_stage_stride(&l->stage);
    while (piece < last) {
        const int32_t n = piece / l->rows, r = piece % l->rows;
        int32_t rows = l->rows - r < last - piece ? l->rows - r : last - piece;
        rows = rows < l->band ? rows : l->band;
        pe_stage_rows(&l->stage, x + (size_t)n * l->x_image, r * l->stride - l->pad, staged_rows(l, rows), work);
        run_blocks(l, first, end, r, r + rows, l->cols, work + pe_stage_gap(&l->stage), stride,
                   y + (size_t)n * l->y_image);
        piece += rows;
    }
}

static void run_part(const void *packed, uint8_t *arena, uint8_t *work, uint32_t part, uint32_t parts)
{
    const layer *l = packed;
    const block *first = l->block, *end = l->block + l->blocks;
    int32_t piece = 0, last = l->pieces;
    const bool by_pieces =
        l->product ? (uint32_t)l->pieces >= MIN_COLUMNS * parts : (uint32_t)l->pieces >= parts || l->blocks == 1;
    if (by_pieces) {
        piece = pe_share(l->pieces, part, parts);
        last = pe_share(l->pieces, part + 1, parts);
    } else { /* too few, but many channels */
        first = l->block + pe_share((int32_t)l->blocks, part, parts);
        end = l->block + pe_share((int32_t)l->blocks, part + 1, parts);
    }
    if (first != end)
        (l->product ? run_columns : run_rows)(l, first, end, piece, last, arena + l->x, (int8_t *)arena + l->y, work);
}

static void run(const void *packed, uint8_t *arena, uint8_t *work)
{
    run_part(packed, arena, work, 0, 1);
}

const pe_layer pe_layer_conv2d_s8__avx512 = {PE_OP_CONV2D_S8, "conv2d_s8__avx512", takes, pack, run};
const pe_layer pe_layer_linear_s8__avx512 = {PE_OP_LINEAR_S8, "linear_s8__avx512", takes, pack, run};
