#include "kernels/x86/acc_f32.h"
#include "kernels/x86/image_f32.h"
#include "kernels/x86/pack_f32.h"

/* conv2d_wgrad_f32, and depthwise_wgrad_f32 with multiplier 1: sums over all positions of dy, in ascending order.
 *
 * Bands of rows of x, copied with their padding if windows reach over its edges, stay in the first-level cache with their
 * rows of dy, while tiles of dw add what they give. A tile of conv2d is some channels of dy by a row of taps; one of
 * depthwise some taps of a row by vectors of channels. */

typedef struct layer {
    pe_image_f32 image; /* y: dw */
    pe_place dy, x;
    size_t groups, inputs, outputs; /* channels of a group; depthwise: of all, and one group */
    int32_t taps;                   /* along a row */
    size_t tap_step;                /* floats of x from tap to tap of a row */
    bool one_run;                   /* the taps of a row are neighbours */
    size_t units;                   /* what parts share: rows of taps times blocks of channels */
} layer;

#ifdef __AVX512F__
#define BLOCK 16 /* channels of dy: of the tiles of acc_f32.h */
#else
#define BLOCK 12
#endif
#define CHANNELS (2 * PE_LANES) /* of depthwise */

static pe_layer_part_fn run_part, run_depthwise_part;

static bool describe(const pe_call *c, layer *l, pe_layer_bytes *bytes)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *dy = c->tensor[0], *x = c->tensor[1], *dw = c->tensor[2];
    const bool depthwise = dw->rank == 3;
    const pe_axis h = pe_axis_h(p, x, dy, dw->dims[depthwise ? 0 : 1]),
                  v = pe_axis_w(p, x, dy, dw->dims[depthwise ? 1 : 2]);
    const size_t channels = (size_t)x->dims[3];
    *l = (layer){.dy = pe_place_of(c, 0),
                 .x = pe_place_of(c, 1),
                 .groups = depthwise ? 1 : (size_t)p->groups,
                 .taps = v.taps,
                 .tap_step = (size_t)v.dilation * channels};
    l->inputs = channels / l->groups;
    l->outputs = (size_t)dy->dims[3] / l->groups;
    l->one_run = v.taps == 1 || (v.dilation == 1 && l->groups == 1);
    if ((depthwise && l->inputs != l->outputs) ||
        !pe_image_describe(&l->image, x, dy, h, v, x->dims[0], channels, (size_t)dy->dims[3], false, 0, &bytes->work))
        return false;
    pe_image_f32 *m = &l->image;
    m->y = dw->offset;
    while (m->band > 1 && (size_t)pe_image_rows(m, m->band) * m->row * sizeof(float) > PE_BAND_BYTES)
        m->band = (m->band + 1) / 2;
    const size_t block = depthwise ? CHANNELS : BLOCK;
    l->units = (size_t)m->taps * l->groups * ((l->outputs + block - 1) / block);
    bytes->packed = sizeof *l;
    const uint64_t macs =
        (uint64_t)m->images * m->y_image * (depthwise ? 1 : l->inputs) * (size_t)m->taps * (size_t)l->taps;
    if (l->units > 1 && macs >= PE_MACS_TO_SPLIT)
        bytes->part = depthwise ? run_depthwise_part : run_part;
    return true;
}

static bool takes(const pe_call *c, pe_layer_bytes *bytes)
{
    layer l;
    return describe(c, &l, bytes);
}

static void pack(const pe_call *c, void *packed)
{
    pe_layer_bytes bytes = {0};
    describe(c, packed, &bytes);
}

/* What a band gives to unit u. x: the first window of the band's `rows` rows of dy; fresh: nothing came before. */
typedef void add_fn(const layer *l, size_t u, const float *dy, const float *x, int32_t rows, bool fresh, float *dw);

static void run_units(const layer *l, uint8_t *arena, uint8_t *work, uint32_t part, uint32_t parts, add_fn *add)
{
    const pe_image_f32 *m = &l->image;
    const float *dy = pe_place_at(&l->dy, arena), *x = pe_place_at(&l->x, arena);
    const size_t first = (size_t)pe_share((int32_t)l->units, part, parts),
                 end = (size_t)pe_share((int32_t)l->units, part + 1, parts);
    if (first == end)
        return;
    for (int32_t image = 0; image < m->images; image++, x += m->x_image)
        for (int32_t r = 0, rows; r < m->rows; r += rows, dy += (size_t)rows * m->y_row) {
            rows = m->rows - r < m->band ? m->rows - r : m->band;
            const float *from = pe_image_band(m, x, r, r + rows, (float *)work);
            for (size_t u = first; u < end; u++)
                add(l, u, dy, from, rows, image == 0 && r == 0, (float *)(arena + m->y));
        }
}

static void add_conv2d(const layer *l, size_t u, const float *dy, const float *x, int32_t rows, bool fresh, float *dw)
{
    const pe_image_f32 *m = &l->image;
    const size_t blocks = (l->outputs + BLOCK - 1) / BLOCK, group = u / blocks % l->groups,
                 tap = u / blocks / l->groups;
    const size_t first = u % blocks * BLOCK, left = l->outputs - first, tap_row = (size_t)l->taps * l->inputs;
    pe_acc_job j = {.rows = (size_t)rows,
                    .k = (size_t)m->cols,
                    .a_row = m->y_row,
                    .a_k = l->groups * l->outputs,
                    .a_m = 1,
                    .b_row = (size_t)m->stride * m->row,
                    .b_k = m->pixel,
                    .c_m = (size_t)m->taps * tap_row,
                    .fresh = fresh};
    if (j.b_row == j.k * j.b_k) { /* neither x nor dy has anything between rows */
        j.k *= j.rows;
        j.rows = 1;
    }
    dy += group * l->outputs + first;
    x += tap * (size_t)m->dilation * m->row + group * l->inputs;
    dw += (group * l->outputs + first) * j.c_m + tap * tap_row;
    for (int32_t i = 0; i < (l->one_run ? 1 : l->taps); i++)
        pe_acc_product(&j, left < BLOCK ? left : BLOCK, l->one_run ? tap_row : l->inputs, dy,
                       x + (size_t)i * l->tap_step, dw + (size_t)i * l->inputs);
}

/* T taps of a row by V vectors of channels. last: channels of the last vector. */
PE_INLINE void add_taps(const layer *l, const float *dy, const float *x, int32_t rows, const size_t last, bool fresh,
                        float *dw, const int T, const int V)
{
    const pe_image_f32 *m = &l->image;
    const size_t c = l->inputs;
    pe_f32v sum[3][2];
    PE_FOR (t, T)
        PE_FOR (i, V) {
            const float *from = dw + (size_t)t * c + PE_LANES * i;
            sum[t][i] = fresh ? pe_f32v_all(0) : i < V - 1 ? pe_f32v_load(from) : pe_f32v_load_first(from, last);
        }
    for (; rows; rows--, dy += m->y_row, x += (size_t)m->stride * m->row) {
        const float *at = dy, *from = x;
        for (int32_t k = m->cols; k; k--, at += c, from += m->pixel)
            PE_FOR (i, V) {
                const float *a = at + PE_LANES * i, *b = from + PE_LANES * i;
                const pe_f32v d = i < V - 1 ? pe_f32v_load(a) : pe_f32v_load_first(a, last);
                PE_FOR (t, T) {
                    const float *tap = b + (size_t)t * l->tap_step;
                    sum[t][i] =
                        pe_f32v_fma(d, i < V - 1 ? pe_f32v_load(tap) : pe_f32v_load_first(tap, last), sum[t][i]);
                }
            }
    }
    PE_FOR (t, T)
        PE_FOR (i, V) {
            float *to = dw + (size_t)t * c + PE_LANES * i;
            if (i < V - 1)
                pe_f32v_store(to, sum[t][i]);
            else
                pe_f32v_store_first(to, sum[t][i], last);
        }
}

static void add_depthwise(const layer *l, size_t u, const float *dy, const float *x, int32_t rows, bool fresh,
                          float *dw)
{
    const pe_image_f32 *m = &l->image;
    const size_t c = l->inputs, blocks = (c + CHANNELS - 1) / CHANNELS, tap = u / blocks, first = u % blocks * CHANNELS;
    const size_t n = c - first < CHANNELS ? c - first : CHANNELS;
    dy += first;
    x += tap * (size_t)m->dilation * m->row + first;
    dw += tap * (size_t)l->taps * c + first;
    for (int32_t i = 0; i < l->taps;) {
        const float *from = x + (size_t)i * l->tap_step;
        float *to = dw + (size_t)i * c;
        const bool three = i + 3 <= l->taps;
        if (n > PE_LANES && three)
            add_taps(l, dy, from, rows, n - PE_LANES, fresh, to, 3, 2);
        else if (n > PE_LANES)
            add_taps(l, dy, from, rows, n - PE_LANES, fresh, to, 1, 2);
        else if (three)
            add_taps(l, dy, from, rows, n, fresh, to, 3, 1);
        else
            add_taps(l, dy, from, rows, n, fresh, to, 1, 1);
        i += three ? 3 : 1;
    }
}

static void run_part(const void *packed, uint8_t *arena, uint8_t *work, uint32_t part, uint32_t parts)
{
    run_units(packed, arena, work, part, parts, add_conv2d);
}

static void run(const void *packed, uint8_t *arena, uint8_t *work)
{
    run_part(packed, arena, work, 0, 1);
}

static void run_depthwise_part(const void *packed, uint8_t *arena, uint8_t *work, uint32_t part, uint32_t parts)
{
    run_units(packed, arena, work, part, parts, add_depthwise);
}

static void run_depthwise(const void *packed, uint8_t *arena, uint8_t *work)
{
    run_depthwise_part(packed, arena, work, 0, 1);
}

const pe_layer PE_LEVEL(pe_layer_conv2d_wgrad_f32) = {PE_OP_CONV2D_WGRAD_F32, PE_LEVEL_NAME(conv2d_wgrad_f32), takes,
                                                      pack, run};
const pe_layer PE_LEVEL(pe_layer_depthwise_wgrad_f32) = {PE_OP_DEPTHWISE_WGRAD_F32, PE_LEVEL_NAME(depthwise_wgrad_f32),
                                                         takes, pack, run_depthwise};
