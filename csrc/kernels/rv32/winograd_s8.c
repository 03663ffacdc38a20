#include "kernels/bytes.h"
#include "kernels/rv32/rv32.h"
#include "ops/ops.h"
#include "ops/window.h"

/* conv2d_s8 by Winograd's F(2x2, 3x3) (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016), in
 * integers and exact:
 *
 *     4 Y = A^T [ sum over c of (U * V) ] A,   U = (2 G) g (2 G)^T,   V = B^T d B
 *
 *     2 G = | 2  0  0 |   B^T = | 1  0 -1  0 |   A^T = | 1  1  1  0 |
 *           | 1  1  1 |         | 0  1  1  0 |         | 0  1 -1 -1 |
 *           | 1 -1  1 |         | 0 -1  1  0 |
 *           | 0  0  2 |         | 0  1  0 -1 |
 *
 * 16 products for 2 x 2 outputs instead of 36. |U| <= 9 * 128 and |V| <= 4 * 128 fit 16 bits. All sums are modulo 2^32; 4 Y is
 * right as an int32 while |bias| < 2^28 and C <= 1024. */

enum { TILES = 4, ROWS = 4, SIDE = 4, MOST_C = 1024, FEWEST_TILES = 8 };

typedef struct layer {
    const pe_call *c;
    int32_t height, width, depth;       /* of x */
    int32_t out_h, out_w, channels;     /* of y */
    int32_t pad_top, pad_left, columns; /* columns: tiles in a row */
    int8_t *fill;                       /* [C]: a pixel of padding */
    int16_t *v;                         /* [C][4][4 tiles]: one row of V */
    uint32_t *m;                        /* [4][4 channels][4 tiles]: its products */
    uint32_t *sums;                     /* per 4 channels: [4 outputs of a tile][4 channels][4 tiles], 4 Y */
    int16_t *u;                         /* per 4 channels: [4][4][C][4 channels] */
} layer;

/* U of four channels. */
static void transform_weights(const int8_t *w, size_t depth, int16_t *u)
{
    for (size_t r = 0; r < ROWS; r++, w += 9 * depth)
        for (size_t k = 0; k < depth; k++) {
            const int8_t *g = w + k;
            int32_t rows[4][3];
            for (size_t j = 0; j < 3; j++, g += depth) {
                const int32_t a = g[0], b = g[3 * depth], c = g[6 * depth];
                rows[0][j] = 2 * a;
                rows[1][j] = a + b + c;
                rows[2][j] = a - b + c;
                rows[3][j] = 2 * c;
            }
            int16_t *to = u + k * ROWS + r;
            for (size_t i = 0; i < 4; i++) {
                const int32_t a = rows[i][0], b = rows[i][1], c = rows[i][2];
                to[0] = (int16_t)(2 * a);
                to[depth * ROWS] = (int16_t)(a + b + c);
                to[2 * depth * ROWS] = (int16_t)(a - b + c);
                to[3 * depth * ROWS] = (int16_t)(2 * c);
                to += 4 * depth * ROWS;
            }
        }
}

/* A tile of x: the element of its first pixel, modulo 2^32, for it may lie before x; a bit for each row and column inside. */
typedef struct tile {
    uint32_t first;
    uint32_t rows, cols;
} tile;

static tile find(const layer *l, int32_t number)
{
    const int32_t y = number / l->columns * 2 - l->pad_top, x = number % l->columns * 2 - l->pad_left;
    tile t = {.first = ((uint32_t)y * (uint32_t)l->width + (uint32_t)x) * (uint32_t)l->depth};
    for (int32_t i = 0; i < SIDE; i++) {
        t.rows |= (uint32_t)(y + i >= 0 && y + i < l->height) << i;
        t.cols |= (uint32_t)(x + i >= 0 && x + i < l->width) << i;
    }
    return t;
}

/* Row i of V of one tile. image: x at one n. */
static void transform(const layer *l, const int8_t *image, const tile *t, uint32_t i, int16_t *v)
{
    static const uint8_t rows[2][SIDE] = {{0, 1, 2, 1}, {2, 2, 1, 3}};
    const int8_t *pixels[2 * SIDE], **to = pixels;
    for (uint32_t k = 0; k < 2; k++) {
        const uint32_t row = rows[k][i], cols = t->rows >> row & 1 ? t->cols : 0;
        uint32_t at = t->first + row * (uint32_t)l->width * (uint32_t)l->depth;
        for (uint32_t j = 0; j < SIDE; j++, at += (uint32_t)l->depth)
            *to++ = cols >> j & 1 ? image + at : l->fill;
    }
    pe_rv32_winograd_row_s8(pixels, (size_t)l->depth, v, i == 1);
}

/* What row i of the products gives to 4 Y. */
static inline void add_row_i(const uint32_t *m, int i, uint32_t *sums)
{
    enum { N = ROWS * TILES };
    for (const uint32_t *end = m + N; m != end; m++, sums++) {
        const uint32_t left = m[0] + m[N] + m[2 * N], right = m[N] - m[2 * N] - m[3 * N];
        if (i < 3) {
            sums[0] = left + (i ? sums[0] : 0);
            sums[N] = right + (i ? sums[N] : 0);
        }
        if (i) {
            sums[2 * N] = i == 1 ? left : sums[2 * N] - left;
            sums[3 * N] = i == 1 ? right : sums[3 * N] - right;
        }
    }
}

static void add_row(const uint32_t *m, uint32_t i, uint32_t *sums)
{
    switch (i) {
    case 0: add_row_i(m, 0, sums); break;
    case 1: add_row_i(m, 1, sums); break;
    case 2: add_row_i(m, 2, sums); break;
    default: add_row_i(m, 3, sums);
    }
}

/* Where the outputs of a tile go, from a channel of y on; those outside of y all to one place. */
static void place(const layer *l, int8_t *y, int32_t number, int8_t *outside, int8_t *to[4 * TILES])
{
    const int32_t oy = number / l->columns * 2, ox = number % l->columns * 2;
    for (int32_t i = 0; i < 4; i++) {
        const int32_t row = oy + i / 2, column = ox + i % 2;
        const bool inside = row < l->out_h && column < l->out_w;
        to[i * TILES] = inside ? y + (size_t)(row * l->out_w + column) * (size_t)l->channels : outside;
    }
}

/* y of four channels and four tiles. to: y of the first channel, by output of a tile and tile. */
static void store(const pe_conv2d_params *p, const pe_channel *q, const uint32_t *sums, int8_t *const to[4 * TILES])
{
    const int32_t offset = 2 * p->y_zero_point + 1, min = p->y_min, max = p->y_max;
    for (size_t r = 0; r < ROWS; r++, q++, sums += TILES) {
        const uint32_t bias = 4 * (uint32_t)q->bias, twice = (uint32_t)q->a << 1, less = (uint32_t)q->b - 1;
        for (size_t i = 0; i < 4; i++)
            for (size_t t = 0; t < TILES; t++) {
                const uint32_t sum = (uint32_t)((int32_t)(sums[i * ROWS * TILES + t] + bias) >> 2);
                to[i * TILES + t][r] = pe_requantize_s8_short(sum, twice, less, offset, min, max);
            }
    }
}

static bool biases_are_small(const pe_channel *q, size_t n)
{
    for (; n; n--, q++)
        if (q->bias <= -(1 << 28) || q->bias >= 1 << 28)
            return false;
    return true;
}

bool pe_rv32_conv2d_winograd_s8(const pe_call *c)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[3];
    layer l = {
        .c = c,
        .height = x->dims[1],
        .width = x->dims[2],
        .depth = x->dims[3],
        .out_h = y->dims[1],
        .out_w = y->dims[2],
        .channels = y->dims[3],
        .pad_top = p->pad_top,
        .pad_left = p->pad_left,
        .columns = (y->dims[2] + 1) / 2,
    };
    const size_t depth = (size_t)l.depth, channels = (size_t)l.channels;
    const size_t v_bytes = 2 * SIDE * TILES * depth, m_bytes = 4 * SIDE * ROWS * TILES;
    const size_t u_bytes = 2 * SIDE * SIDE * ROWS * depth, sum_bytes = 4 * 4 * ROWS * TILES, quad = u_bytes + sum_bytes;
    const size_t fixed = depth + v_bytes + m_bytes;
    const int32_t tiles = (l.out_h + 1) / 2 * l.columns;
    const bool fits = w->dims[1] == 3 && w->dims[2] == 3 && p->stride_h == 1 && p->stride_w == 1 &&
                      p->dilation_h == 1 && p->dilation_w == 1 && p->groups == 1 && depth % 8 == 0 && depth >= 16 &&
                      depth <= MOST_C && channels % ROWS == 0 && tiles >= FEWEST_TILES;
    if (!fits || c->scratch_bytes < fixed + quad || !biases_are_small(c->data[2], channels))
        return false;
    const size_t room = (c->scratch_bytes - fixed) / quad * ROWS, step = room < channels ? room : channels;
    l.m = c->scratch;
    l.sums = l.m + m_bytes / 4;
    l.v = (int16_t *)(void *)(l.sums + step / ROWS * (sum_bytes / 4));
    l.u = l.v + v_bytes / 2;
    l.fill = (int8_t *)(l.u + step / ROWS * (u_bytes / 2));
    pe_fill_bytes(l.fill, (uint8_t)p->x_zero_point, depth);
    for (size_t first = 0; first < channels; first += step) {
        const size_t n = channels - first < step ? channels - first : step;
        for (size_t i = 0; i < n; i += ROWS)
            transform_weights((const int8_t *)c->data[1] + (first + i) * 9 * depth, depth,
                              l.u + i / ROWS * (u_bytes / 2));
        for (size_t image = 0; image < (size_t)x->dims[0]; image++) {
            const int8_t *from = (const int8_t *)c->data[0] + image * (x->bytes / (size_t)x->dims[0]);
            int8_t *to = (int8_t *)c->data[3] + image * (y->bytes / (size_t)y->dims[0]);
            for (int32_t first_tile = 0; first_tile < tiles; first_tile += TILES) {
                tile tiles_of_x[TILES];
                int8_t *places[4 * TILES], outside[ROWS];
                for (int32_t t = 0; t < TILES; t++) {
                    const int32_t number = first_tile + t < tiles ? first_tile + t : tiles - 1; /* the last one again */
                    tiles_of_x[t] = find(&l, number);
                    place(&l, to + first, number, outside, places + t);
                }
                for (uint32_t i = 0; i < SIDE; i++) {
                    for (uint32_t t = 0; t < TILES; t++)
                        transform(&l, from, &tiles_of_x[t], i, l.v + t);
                    for (size_t j = 0; j < n / ROWS; j++) {
                        pe_rv32_winograd_s8(l.u + j * (u_bytes / 2) + i * (u_bytes / 8), l.v, l.m, depth);
                        add_row(l.m, i, l.sums + j * (sum_bytes / 4));
                    }
                }
                for (size_t j = 0; j < n / ROWS; j++) {
                    store(p, (const pe_channel *)c->data[2] + first + j * ROWS, l.sums + j * (sum_bytes / 4), places);
                    for (size_t i = 0; i < 4 * TILES; i++)
                        places[i] += places[i] == outside ? 0 : ROWS;
                }
            }
        }
    }
    return true;
}
