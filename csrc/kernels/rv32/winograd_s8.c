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

enum { TILES = 4, ROWS = 4, POSITIONS = 16, MOST_C = 1024 };

typedef struct layer {
    const pe_call *c;
    int32_t height, width, depth;       /* of x */
    int32_t out_h, out_w, channels;     /* of y */
    int32_t pad_top, pad_left, columns; /* columns: tiles in a row */
    int8_t *patch;                      /* [4][4][C]: a tile with its padding */
    int16_t *v;                         /* [16][C][4 tiles] */
    uint32_t *m;                        /* [16][4 channels][4 tiles] */
    int16_t *u;                         /* per 4 channels: [16][C][4 channels] */
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

/* V of one tile, from a pixel of x or of a patch on. */
static void transform_input(const int8_t *d, size_t row, size_t depth, int16_t *v)
{
    const size_t next = depth * TILES; /* position */
    for (const int8_t *end = d + depth; d != end; d++, v += TILES) {
        int32_t t[4][4];
        const int8_t *q = d;
        for (size_t j = 0; j < 4; j++, q += depth) {
            const int32_t a = q[0], b = q[row], c = q[2 * row], e = q[3 * row];
            t[0][j] = a - c;
            t[1][j] = b + c;
            t[2][j] = c - b;
            t[3][j] = b - e;
        }
        int16_t *to = v;
        for (size_t i = 0; i < 4; i++) {
            const int32_t a = t[i][0], b = t[i][1], c = t[i][2], e = t[i][3];
            to[0] = (int16_t)(a - c);
            to[next] = (int16_t)(b + c);
            to[2 * next] = (int16_t)(c - b);
            to[3 * next] = (int16_t)(b - e);
            to += 4 * next;
        }
    }
}

static void load_tile(const layer *l, const int8_t *image, int32_t tile, int16_t *v)
{
    const int32_t y0 = tile / l->columns * 2 - l->pad_top, x0 = tile % l->columns * 2 - l->pad_left;
    const size_t depth = (size_t)l->depth, row = (size_t)l->width * depth;
    if (y0 >= 0 && x0 >= 0 && y0 + 4 <= l->height && x0 + 4 <= l->width) {
        transform_input(image + (size_t)y0 * row + (size_t)x0 * depth, row, depth, v);
        return;
    }
    const uint8_t zero = (uint8_t)((const pe_conv2d_params *)l->c->params)->x_zero_point;
    int8_t *to = l->patch;
    for (int32_t y = y0; y < y0 + 4; y++)
        for (int32_t x = x0; x < x0 + 4; x++, to += depth)
            if (y >= 0 && y < l->height && x >= 0 && x < l->width)
                pe_copy_bytes((uint8_t *)to, (const uint8_t *)image + (size_t)y * row + (size_t)x * depth, depth);
            else
                pe_fill_bytes(to, zero, depth);
    transform_input(l->patch, 4 * depth, depth, v);
}

/* y of four channels and four tiles; tiles[t]: its number. */
static void store(const layer *l, int8_t *y, const int32_t *tiles, size_t channel)
{
    const pe_conv2d_params *p = l->c->params;
    const int32_t offset = 2 * p->y_zero_point + 1, min = p->y_min, max = p->y_max;
    for (size_t r = 0; r < ROWS; r++) {
        const pe_channel q = ((const pe_channel *)l->c->data[2])[channel + r];
        const uint32_t bias = 4 * (uint32_t)q.bias, twice = (uint32_t)q.a << 1, less = (uint32_t)q.b - 1;
        for (size_t t = 0; t < TILES; t++) {
            const uint32_t *m = l->m + r * TILES + t;
            uint32_t s[4][2];
            for (size_t j = 0; j < 4; j++, m += 16) {
                const uint32_t a = m[0], b = m[4 * 16], c = m[8 * 16], d = m[12 * 16];
                s[j][0] = a + b + c;
                s[j][1] = b - c - d;
            }
            const int32_t oy = tiles[t] / l->columns * 2, ox = tiles[t] % l->columns * 2;
            for (int32_t i = 0; i < 2 && oy + i < l->out_h; i++) {
                int8_t *to = y + ((size_t)(oy + i) * (size_t)l->out_w + (size_t)ox) * (size_t)l->channels + channel + r;
                const uint32_t left = s[0][i] + s[1][i] + s[2][i] + bias, right = s[1][i] - s[2][i] - s[3][i] + bias;
                to[0] = pe_requantize_s8_short((uint32_t)((int32_t)left >> 2), twice, less, offset, min, max);
                if (ox + 1 < l->out_w)
                    to[l->channels] =
                        pe_requantize_s8_short((uint32_t)((int32_t)right >> 2), twice, less, offset, min, max);
            }
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
    const size_t fixed = 16 * depth + 2 * POSITIONS * TILES * depth + 4 * POSITIONS * ROWS * TILES;
    const size_t quad = 2 * POSITIONS * ROWS * depth; /* bytes of u */
    const bool fits = w->dims[1] == 3 && w->dims[2] == 3 && p->stride_h == 1 && p->stride_w == 1 &&
                      p->dilation_h == 1 && p->dilation_w == 1 && p->groups == 1 && depth % 8 == 0 && depth >= 16 &&
                      depth <= MOST_C && channels % ROWS == 0;
    if (!fits || c->scratch_bytes < fixed + 2 * quad || !biases_are_small(c->data[2], channels))
        return false;
    l.v = c->scratch;
    l.m = (uint32_t *)(void *)(l.v + POSITIONS * TILES * depth);
    l.patch = (int8_t *)(l.m + POSITIONS * ROWS * TILES);
    l.u = (int16_t *)(void *)(l.patch + 16 * depth);
    const size_t room = (c->scratch_bytes - fixed) / quad * ROWS, step = room < channels ? room : channels;
    const int32_t tiles = (l.out_h + 1) / 2 * l.columns;
    for (size_t first = 0; first < channels; first += step) {
        const size_t n = channels - first < step ? channels - first : step;
        for (size_t i = 0; i < n; i += ROWS)
            transform_weights((const int8_t *)c->data[1] + (first + i) * 9 * depth, depth, l.u + i / ROWS * (quad / 2));
        for (size_t image = 0; image < (size_t)x->dims[0]; image++) {
            const int8_t *from = (const int8_t *)c->data[0] + image * (x->bytes / (size_t)x->dims[0]);
            int8_t *to = (int8_t *)c->data[3] + image * (y->bytes / (size_t)y->dims[0]);
            for (int32_t tile = 0; tile < tiles; tile += TILES) {
                int32_t numbers[TILES];
                for (int32_t t = 0; t < TILES; t++) {
                    numbers[t] = tile + t < tiles ? tile + t : tiles - 1; /* the last one again */
                    load_tile(&l, from, numbers[t], l.v + t);
                }
                for (size_t i = 0; i < n; i += ROWS) {
                    pe_rv32_winograd_s8(l.u + i / ROWS * (quad / 2), l.v, l.m, depth);
                    store(&l, to, numbers, first + i);
                }
            }
        }
    }
    return true;
}
