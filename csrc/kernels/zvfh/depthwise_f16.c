#include "kernels/zvfh/zvfh.h"
#include "ops/f16.h"
#include "ops/window.h"

/* depthwise_f16 with as many channels of y as of x, which lie across the vectors; a tap beyond the edges is +0. */

typedef struct image {
    pe_axis h, w;
    size_t channels;
    const uint8_t *x;
    const _Float16 *taps;
    const float *bias;
    pe_form_f16 form;
} image;

/* `vl` elements of x from `at` on; inside: else +0. */
static inline vfloat16m4_t load_f16(const image *g, bool inside, size_t at, size_t vl)
{
    if (!inside)
        return __riscv_vfmv_v_f_f16m4(0, vl);
    if (g->form.a_is_f16)
        return __riscv_vle16_v_f16m4((const _Float16 *)(const void *)g->x + at, vl);
    return __riscv_vfncvt_f_f_w_f16m4(__riscv_vle32_v_f32m8((const float *)(const void *)g->x + at, vl), vl);
}

static inline vfloat32m8_t load_f32(const image *g, bool inside, size_t at, size_t vl)
{
    if (inside && !g->form.a_is_f16)
        return __riscv_vle32_v_f32m8((const float *)(const void *)g->x + at, vl);
    return __riscv_vfwcvt_f_f_v_f32m8(load_f16(g, inside, at, vl), vl);
}

/* vl channels of one pixel of y. */
static inline vfloat32m8_t window(const image *g, bool fast, int32_t oy, int32_t ox, size_t channel, size_t vl)
{
    const _Float16 *taps = g->taps + channel;
    const int32_t y0 = oy * g->h.stride - g->h.pad, x0 = ox * g->w.stride - g->w.pad;
    vfloat32m8_t sum = pe_zvfh_bias_m8(g->bias ? g->bias + channel : NULL, vl);
    vfloat16m4_t run = __riscv_vfmv_v_f_f16m4(0, vl);
    uint32_t tap = 0;
    for (int32_t i = 0; i < g->h.taps; i++)
        for (int32_t j = 0; j < g->w.taps; j++, taps += g->channels) {
            const int32_t iy = y0 + i * g->h.dilation, ix = x0 + j * g->w.dilation;
            const bool inside = iy >= 0 && iy < g->h.in && ix >= 0 && ix < g->w.in;
            const size_t at = inside ? ((size_t)iy * (size_t)g->w.in + (size_t)ix) * g->channels + channel : 0;
            const vfloat16m4_t w = __riscv_vle16_v_f16m4(taps, vl);
            if (!fast) {
                sum = __riscv_vfmacc_vv_f32m8(sum, load_f32(g, inside, at, vl), __riscv_vfwcvt_f_f_v_f32m8(w, vl), vl);
                continue;
            }
            run = __riscv_vfmacc_vv_f16m4(run, load_f16(g, inside, at, vl), w, vl);
            if (++tap % PE_FAST16_RUN == 0) {
                sum = __riscv_vfwadd_wv_f32m8(sum, run, vl);
                run = __riscv_vfmv_v_f_f16m4(0, vl);
            }
        }
    return tap % PE_FAST16_RUN ? __riscv_vfwadd_wv_f32m8(sum, run, vl) : sum;
}

bool pe_depthwise_f16__zvfh(const pe_call *c)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[c->inputs];
    const uint32_t images = (uint32_t)x->dims[0];
    if (x->dims[3] != w->dims[2])
        return false;
    image g = {
        .h = pe_axis_h(p, x, y, w->dims[0]),
        .w = pe_axis_w(p, x, y, w->dims[1]),
        .channels = (size_t)x->dims[3],
        .x = c->data[0],
        .taps = c->data[1],
        .bias = c->inputs > 2 && c->tensor[2] ? c->data[2] : NULL,
        .form = pe_form_of(c, p->f_min, p->f_max),
    };
    const bool fast = p->rounding == PE_ROUND_FAST16;
    size_t to = 0;
    for (uint32_t n = 0; n < images; n++, g.x += x->bytes / images)
        for (int32_t oy = 0; oy < g.h.out; oy++)
            for (int32_t ox = 0; ox < g.w.out; ox++, to += g.channels)
                for (size_t vl, channel = 0; channel < g.channels; channel += vl) {
                    vl = __riscv_vsetvl_e16m4(g.channels - channel);
                    pe_zvfh_store_m8(window(&g, fast, oy, ox, channel, vl), &g.form, c->data[c->inputs], to + channel,
                                     vl);
                }
    return true;
}
