#include "kernels/layers.h"
#include "kernels/x86/f16.h"
#include "kernels/x86/pack_f32.h"
#include "ops/window.h"

/* depthwise_f16 with multiplier 1: vectors of channels, four pixels of a row at a time. x is widened as it is read; weights
 * are floats from the start, because there are few; those that learn become so before each run. Taps in the padding read
 * zeros. */

enum { PIXELS = 4 };

typedef struct layer {
    pe_axis h, w;
    size_t x, y; /* in the arena, bytes */
    size_t channels, padded;
    int32_t images;
    bool x_is_f16, y_is_f16, fast16;
    pe_clip clip;
    pe_place weights, bias;
    bool has_bias, at_run; /* at_run: weights or biases learn */
    float packed[];        /* unless at_run; else such are in the work memory: bias [padded], weights [taps][padded] */
} layer;

static const float zeros[PE_LANES];

PE_INLINE pe_f32v load(const void *x, size_t lanes, const bool IS_F16)
{
    if (IS_F16)
        return lanes == PE_LANES ? pe_f16v_load(x) : pe_f16v_load_first(x, lanes);
    return lanes == PE_LANES ? pe_f32v_load(x) : pe_f32v_load_first(x, lanes);
}

/* One vector of channels of the pixels from (oy, ox) on; those beyond the row are computed and dropped. image: of this n. */
PE_INLINE void pixels(const layer *l, const float *bias, const uint8_t *image, uint8_t *y, int32_t oy, int32_t ox,
                      size_t channel, const bool X_IS_F16, const bool FAST16)
{
    const size_t element = X_IS_F16 ? 2 : 4, left = l->channels - channel, lanes = left < PE_LANES ? left : PE_LANES;
    const float *weight = bias + l->padded + channel;
    pe_f32v sum[PIXELS], run[PIXELS];
    PE_FOR (p, PIXELS) {
        sum[p] = pe_f32v_load(bias + channel);
        run[p] = pe_f32v_all(0);
    }
    uint32_t tap = 0;
    for (int32_t i = 0; i < l->h.taps; i++) {
        const int32_t iy = oy * l->h.stride - l->h.pad + i * l->h.dilation;
        const bool row_inside = iy >= 0 && iy < l->h.in;
        for (int32_t j = 0; j < l->w.taps; j++, weight += l->padded) {
            const pe_f32v w = pe_f32v_load(weight);
            PE_FOR (p, PIXELS) {
                const int32_t column = ox + p < l->w.out ? ox + p : l->w.out - 1;
                const int32_t ix = column * l->w.stride - l->w.pad + j * l->w.dilation;
                const bool inside = row_inside && ix >= 0 && ix < l->w.in;
                const size_t at = inside ? ((size_t)iy * (size_t)l->w.in + (size_t)ix) * l->channels + channel : 0;
                const pe_f32v x = load(inside ? (const void *)(image + at * element) : zeros, lanes, X_IS_F16);
                if (FAST16)
                    run[p] = pe_f16v_fma(X_IS_F16 ? x : pe_f16v_round(x), w, run[p]);
                else
                    sum[p] = pe_f32v_fma(x, w, sum[p]);
            }
            if (FAST16 && ++tap % PE_FAST16_RUN == 0)
                PE_FOR (p, PIXELS) {
                    sum[p] = pe_f32v_add(sum[p], run[p]);
                    run[p] = pe_f32v_all(0);
                }
        }
    }
    const pe_clip_v clip = pe_clip_all(&l->clip);
    for (int32_t p = 0; p < PIXELS && ox + p < l->w.out; p++) {
        const pe_f32v total = FAST16 && tap % PE_FAST16_RUN ? pe_f32v_add(sum[p], run[p]) : sum[p];
        const size_t to = ((size_t)oy * (size_t)l->w.out + (size_t)(ox + p)) * l->channels + channel;
        if (l->y_is_f16)
            pe_f16v_store_first((uint16_t *)(void *)y + to, pe_f32v_clip(total, &clip), lanes);
        else
            pe_f32v_store_first((float *)(void *)y + to, pe_f32v_clip(total, &clip), lanes);
    }
}

typedef void pixels_fn(const layer *l, const float *bias, const uint8_t *image, uint8_t *y, int32_t oy, int32_t ox,
                       size_t channel);
#define PIXELS_OF(name, X_IS_F16, FAST16)                                                                         \
    static void name(const layer *l, const float *bias, const uint8_t *image, uint8_t *y, int32_t oy, int32_t ox, \
                     size_t channel)                                                                              \
    {                                                                                                             \
        pixels(l, bias, image, y, oy, ox, channel, X_IS_F16, FAST16);                                             \
    }
PIXELS_OF(exact_of_f32, false, false)
PIXELS_OF(exact_of_f16, true, false)
PIXELS_OF(fast16_of_f32, false, true)
PIXELS_OF(fast16_of_f16, true, true)
static pixels_fn *const pixels_of[2][2] = {{exact_of_f32, exact_of_f16}, {fast16_of_f32, fast16_of_f16}};

static pe_layer_part_fn run_part;

static bool takes(const pe_call *c, pe_layer_bytes *bytes)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[c->inputs];
    const pe_tensor *bias = c->inputs > 2 ? c->tensor[2] : NULL;
    const pe_clip clip = {p->f_min, p->f_max};
    if (!pe_in_arena(x) || w->dims[2] != x->dims[3] || !pe_clip_fits(&clip))
        return false;
    const size_t taps = (size_t)w->dims[0] * (size_t)w->dims[1];
    const size_t padded = ((size_t)w->dims[2] + PE_LANES - 1) / PE_LANES * PE_LANES;
    const size_t packed = padded * (taps + 1) * sizeof(float);
    *bytes = (pe_layer_bytes){.packed = sizeof(layer) + packed};
    if (pe_in_arena(w) || (bias && pe_in_arena(bias)))
        *bytes = (pe_layer_bytes){.packed = sizeof(layer), .work = packed};
    const uint64_t macs = 4 * (uint64_t)pe_tensor_elements(y) * taps; /* each is a load and a conversion */
    bytes->part = macs >= PE_MACS_TO_SPLIT ? run_part : NULL;
    return true;
}

/* Bias and weights to `to`, whose channels beyond the last are not stored. arena: if they learn. */
static void pack_weights(const layer *l, const uint8_t *arena, float *to)
{
    const void *w = pe_place_at(&l->weights, arena);
    __builtin_memset(to, 0, l->padded * sizeof *to);
    if (l->has_bias)
        __builtin_memcpy(to, pe_place_at(&l->bias, arena), l->channels * sizeof *to);
    for (size_t t = 0; t < (size_t)l->h.taps * (size_t)l->w.taps; t++)
        pe_f16v_widen(to + (t + 1) * l->padded, w, t * l->channels, l->channels, true);
}

static void pack(const pe_call *c, void *packed)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[c->inputs];
    const pe_tensor *bias = c->inputs > 2 ? c->tensor[2] : NULL;
    layer *l = packed;
    *l = (layer){.h = pe_axis_h(p, x, y, w->dims[0]),
                 .w = pe_axis_w(p, x, y, w->dims[1]),
                 .x = x->offset,
                 .y = y->offset,
                 .channels = (size_t)x->dims[3],
                 .images = x->dims[0],
                 .x_is_f16 = x->dtype == PE_F16,
                 .y_is_f16 = y->dtype == PE_F16,
                 .fast16 = p->rounding == PE_ROUND_FAST16,
                 .clip = {p->f_min, p->f_max},
                 .weights = pe_place_of(c, 1),
                 .bias = pe_place_of(c, 2),
                 .has_bias = bias,
                 .at_run = pe_in_arena(w) || (bias && pe_in_arena(bias))};
    l->padded = (l->channels + PE_LANES - 1) / PE_LANES * PE_LANES;
    if (!l->at_run)
        pack_weights(l, NULL, l->packed);
}

static void run_part(const void *packed, uint8_t *arena, uint8_t *work, uint32_t part, uint32_t parts)
{
    const layer *l = packed;
    const float *bias = l->packed;
    if (l->at_run) {
        pack_weights(l, arena, (float *)(void *)work);
        bias = (const float *)(const void *)work;
    }
    const size_t x_image = (size_t)l->h.in * (size_t)l->w.in * l->channels * (l->x_is_f16 ? 2 : 4);
    const size_t y_image = (size_t)l->h.out * (size_t)l->w.out * l->channels * (l->y_is_f16 ? 2 : 4);
    pixels_fn *const run_pixels = pixels_of[l->fast16][l->x_is_f16];
    const int32_t rows = l->images * l->h.out, end = pe_share(rows, part + 1, parts);
    for (int32_t row = pe_share(rows, part, parts); row < end; row++) {
        const size_t n = (size_t)(row / l->h.out);
        for (int32_t ox = 0; ox < l->w.out; ox += PIXELS)
            for (size_t channel = 0; channel < l->channels; channel += PE_LANES)
                run_pixels(l, bias, arena + l->x + n * x_image, arena + l->y + n * y_image, row % l->h.out, ox,
                           channel);
    }
}

static void run(const void *packed, uint8_t *arena, uint8_t *work)
{
    run_part(packed, arena, work, 0, 1);
}

const pe_layer PE_LEVEL(pe_layer_depthwise_f16) = {PE_OP_DEPTHWISE_F16, PE_LEVEL_NAME(depthwise_f16), takes, pack, run};
