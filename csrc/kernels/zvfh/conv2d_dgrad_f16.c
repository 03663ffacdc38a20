#include "kernels/f16.h"
#include "kernels/zvfh/zvfh.h"
#include "ops/window.h"

/* conv2d_dgrad_f16 in runs of float16, all operands and dx float16, where pixels of dx fill the vectors better than channels
 * do. Pixels that the same taps read, those of one residue of the strides, lie across the lanes, whichever their rows are:
 * indices lead to the elements of dy and of dx. Four channels of dx share what is read of dy. */

#define PIXELS 64 /* of which float sums are held; more than a vector has until VLEN 512 */
#define CHANNELS 4
#define LONGEST 16383 /* rows or columns, so that what lies beyond has 16 bits as well */

typedef struct conv {
    pe_axis h, w;
    size_t groups, inputs, outputs; /* channels of a group: of dx, of dy */
} conv;

/* Pixels of one residue in the lanes of a vector. */
typedef struct pixels {
    size_t vl;
    size_t first;                         /* elements of dy from the residue's first row to that of lane 0 */
    uint16_t from[PIXELS];                /* bytes from that row to each, in dy */
    uint32_t to[PIXELS];                  /* bytes from the residue's first pixel to each, in dx */
    uint16_t row[PIXELS], column[PIXELS]; /* among those of the residue */
} pixels;

/* The sums of CHANNELS channels, or one: complete runs, and the one that is being made. */
typedef struct sums {
    float sum[CHANNELS][PIXELS];
    _Float16 run[CHANNELS][PIXELS];
    size_t in_run;
} sums;

/* The pixels from number `first` on; columns: pixels in a row. */
static void place(const conv *g, uint32_t columns, uint32_t first, pixels *p)
{
    const uint32_t dy_pixel = (uint32_t)(g->outputs * g->groups * sizeof(_Float16));
    const uint32_t dx_pixel = (uint32_t)(g->inputs * g->groups * sizeof(_Float16));
    const uint32_t dx_row = (uint32_t)(g->h.stride * g->w.in) * dx_pixel, dx_column = (uint32_t)g->w.stride * dx_pixel;
    const vuint32m8_t number = __riscv_vadd_vx_u32m8(__riscv_vid_v_u32m8(p->vl), first, p->vl);
    const vuint32m8_t row = __riscv_vdivu_vx_u32m8(number, columns, p->vl);
    const vuint32m8_t column = __riscv_vnmsac_vx_u32m8(number, columns, row, p->vl);
    __riscv_vse16_v_u16m4(p->row, __riscv_vncvt_x_x_w_u16m4(row, p->vl), p->vl);
    __riscv_vse16_v_u16m4(p->column, __riscv_vncvt_x_x_w_u16m4(column, p->vl), p->vl);
    p->first = (size_t)(first / columns) * (size_t)g->w.out * g->outputs * g->groups;
    vuint32m8_t from = __riscv_vmul_vx_u32m8(row, (uint32_t)g->w.out * dy_pixel, p->vl);
    from = __riscv_vmacc_vx_u32m8(from, dy_pixel, column, p->vl);
    from = __riscv_vsub_vx_u32m8(from, (uint32_t)(p->first * sizeof(_Float16)), p->vl);
    __riscv_vse16_v_u16m4(p->from, __riscv_vncvt_x_x_w_u16m4(from, p->vl), p->vl);
    const vuint32m8_t to = __riscv_vmul_vx_u32m8(row, dx_row, p->vl);
    __riscv_vse32_v_u32m8(p->to, __riscv_vmacc_vx_u32m8(to, dx_column, column, p->vl), p->vl);
}

/* Lanes whose window lies in dy, oy and ox being that of the residue's first pixel. */
static inline vbool4_t inside(const conv *g, const pixels *p, int32_t oy, int32_t ox)
{
    const size_t vl = p->vl;
    const vuint16m4_t y = __riscv_vadd_vx_u16m4(__riscv_vle16_v_u16m4(p->row, vl), (uint16_t)oy, vl);
    const vuint16m4_t x = __riscv_vadd_vx_u16m4(__riscv_vle16_v_u16m4(p->column, vl), (uint16_t)ox, vl);
    return __riscv_vmand_mm_b4(__riscv_vmsltu_vx_u16m4_b4(y, (uint16_t)g->h.out, vl),
                               __riscv_vmsltu_vx_u16m4_b4(x, (uint16_t)g->w.out, vl), vl);
}

static inline vfloat16m4_t flush(float *sum, vfloat16m4_t run, size_t vl)
{
    __riscv_vse32_v_f32m8(sum, __riscv_vfwadd_wv_f32m8(__riscv_vle32_v_f32m8(sum, vl), run, vl), vl);
    return __riscv_vfmv_v_f_f16m4(0, vl);
}

/* The products of one tap, with g->outputs elements of dy from `at` on, all of whose lanes are in dy or those of `in`. */
static inline __attribute__((always_inline)) void products(const conv *g, const pixels *p, bool four, bool all,
                                                           vbool4_t in, uintptr_t at, const _Float16 *w, sums *s)
{
    const size_t vl = p->vl, output = (size_t)g->h.taps * (size_t)g->w.taps * g->inputs;
    const vuint16m4_t from = __riscv_vle16_v_u16m4(p->from, vl);
    vfloat16m4_t s0 = __riscv_vle16_v_f16m4(s->run[0], vl), s1 = s0, s2 = s0, s3 = s0;
    if (four) {
        s1 = __riscv_vle16_v_f16m4(s->run[1], vl);
        s2 = __riscv_vle16_v_f16m4(s->run[2], vl);
        s3 = __riscv_vle16_v_f16m4(s->run[3], vl);
    }
    vfloat16m4_t a = __riscv_vfmv_v_f_f16m4(0, vl); /* +0 stays where no lane reads */
    for (size_t n, left = g->outputs; left; left -= n) {
        n = left < PE_FAST16_RUN - s->in_run ? left : PE_FAST16_RUN - s->in_run;
        for (size_t k = n; k; k--, at += sizeof *w, w += output) {
            const _Float16 *dy = (const _Float16 *)at;
            a = all ? __riscv_vluxei16_v_f16m4(dy, from, vl) : __riscv_vluxei16_v_f16m4_mu(in, a, dy, from, vl);
            s0 = __riscv_vfmacc_vf_f16m4(s0, w[0], a, vl);
            if (four) {
                s1 = __riscv_vfmacc_vf_f16m4(s1, w[1], a, vl);
                s2 = __riscv_vfmacc_vf_f16m4(s2, w[2], a, vl);
                s3 = __riscv_vfmacc_vf_f16m4(s3, w[3], a, vl);
            }
        }
        s->in_run += n;
        if (s->in_run < PE_FAST16_RUN)
            continue;
        s->in_run = 0;
        s0 = flush(s->sum[0], s0, vl);
        if (four) {
            s1 = flush(s->sum[1], s1, vl);
            s2 = flush(s->sum[2], s2, vl);
            s3 = flush(s->sum[3], s3, vl);
        }
    }
    __riscv_vse16_v_f16m4(s->run[0], s0, vl);
    if (four) {
        __riscv_vse16_v_f16m4(s->run[1], s1, vl);
        __riscv_vse16_v_f16m4(s->run[2], s2, vl);
        __riscv_vse16_v_f16m4(s->run[3], s3, vl);
    }
}

/* One tap, whose window of the residue's first pixel is (oy, ox). */
static inline __attribute__((always_inline)) void one_tap(const conv *g, const pixels *p, bool four, int32_t oy,
                                                          int32_t ox, const _Float16 *dy, const _Float16 *w, sums *s)
{
    /* May lie before dy, where no lane reads. */
    const ptrdiff_t pixel = (ptrdiff_t)(g->outputs * g->groups);
    const ptrdiff_t first = ((ptrdiff_t)oy * g->w.out + ox) * pixel + (ptrdiff_t)p->first;
    const uintptr_t at = (uintptr_t)dy + (uintptr_t)(first * (ptrdiff_t)sizeof *dy);
    const vbool4_t in = inside(g, p, oy, ox);
    if (__riscv_vcpop_m_b4(in, p->vl) == p->vl)
        products(g, p, four, true, in, at, w, s);
    else
        products(g, p, four, false, in, at, w, s);
}

/* Apart, so that each has the registers for itself. */
static __attribute__((noinline)) void tap_4(const conv *g, const pixels *p, int32_t oy, int32_t ox, const _Float16 *dy,
                                            const _Float16 *w, sums *s)
{
    one_tap(g, p, true, oy, ox, dy, w, s);
}

static __attribute__((noinline)) void tap_1(const conv *g, const pixels *p, int32_t oy, int32_t ox, const _Float16 *dy,
                                            const _Float16 *w, sums *s)
{
    one_tap(g, p, false, oy, ox, dy, w, s);
}

/* Of pixels that no window has read. */
static void zero(const conv *g, const pixels *p, _Float16 *dx)
{
    const vuint32m8_t to = __riscv_vle32_v_u32m8(p->to, p->vl);
    const vfloat16m4_t none = __riscv_vfmv_v_f_f16m4(0, p->vl);
    for (size_t c = 0; c < g->inputs; c++)
        __riscv_vsuxei32_v_f16m4(dx + c, to, none, p->vl);
}

/* Pixels of one residue, (y, x) its first. dy, dx: of an image and a group; w: of the group. */
static void residue(const conv *g, int32_t y, int32_t x, const _Float16 *dy, const _Float16 *w, _Float16 *dx)
{
    const pe_lined h = pe_lined_up(&g->h, y), v = pe_lined_up(&g->w, x);
    const uint32_t columns = (uint32_t)((g->w.in - x - 1) / g->w.stride) + 1;
    const uint32_t all = columns * ((uint32_t)((g->h.in - y - 1) / g->h.stride) + 1);
    pixels p;
    sums s;
    dx += ((size_t)y * (size_t)g->w.in + (size_t)x) * g->inputs * g->groups;
    for (uint32_t first = 0; first < all; first += (uint32_t)p.vl) {
        p.vl = __riscv_vsetvl_e16m4(all - first < PIXELS ? all - first : PIXELS);
        place(g, columns, first, &p);
        if (h.count == 0 || v.count == 0) {
            zero(g, &p, dx);
            continue;
        }
        for (size_t n, c = 0; c < g->inputs; c += n) {
            n = g->inputs - c < CHANNELS ? 1 : CHANNELS;
            s.in_run = 0;
            for (size_t i = 0; i < n; i++) {
                __riscv_vse32_v_f32m8(s.sum[i], __riscv_vfmv_v_f_f32m8(0, p.vl), p.vl);
                __riscv_vse16_v_f16m4(s.run[i], __riscv_vfmv_v_f_f16m4(0, p.vl), p.vl);
            }
            for (int32_t i = 0; i < h.count; i++)
                for (int32_t j = 0; j < v.count; j++) {
                    const int32_t down = h.tap + i * h.tap_step, along = v.tap + j * v.tap_step;
                    (n == CHANNELS ? tap_4 : tap_1)(g, &p, h.window + i * h.window_step, v.window + j * v.window_step,
                                                    dy, w + (size_t)(down * g->w.taps + along) * g->inputs + c, &s);
                }
            for (size_t i = 0; i < n; i++) {
                const vfloat16m4_t run = __riscv_vle16_v_f16m4(s.run[i], p.vl);
                const vfloat32m8_t sum = __riscv_vfwadd_wv_f32m8(__riscv_vle32_v_f32m8(s.sum[i], p.vl), run, p.vl);
                __riscv_vsuxei32_v_f16m4(dx + c + i, __riscv_vle32_v_u32m8(p.to, p.vl),
                                         __riscv_vfncvt_f_f_w_f16m4(sum, p.vl), p.vl);
            }
        }
    }
}

bool pe_conv2d_dgrad_f16__zvfh(const pe_call *c)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *dy = c->tensor[0], *w = c->tensor[1], *dx = c->tensor[2];
    const size_t groups = (size_t)p->groups, images = (size_t)dx->dims[0];
    const conv g = {
        .h = pe_axis_h(p, dx, dy, w->dims[1]),
        .w = pe_axis_w(p, dx, dy, w->dims[2]),
        .groups = groups,
        .inputs = (size_t)dx->dims[3] / groups,
        .outputs = (size_t)dy->dims[3] / groups,
    };
    const size_t most = __riscv_vsetvl_e16m4(PIXELS), all = (size_t)g.h.in * (size_t)g.w.in;
    const size_t each = all / ((size_t)g.h.stride * (size_t)g.w.stride); /* pixels of a residue */
    if (p->rounding != PE_ROUND_FAST16 || dy->dtype != PE_F16 || w->dtype != PE_F16 || dx->dtype != PE_F16)
        return false;
    if (g.h.in > LONGEST || g.w.in > LONGEST || g.h.out > LONGEST || g.w.out > LONGEST)
        return false;
    /* What `from` leads to: rows that lanes are in, and a row of the residue. */
    const size_t pixel_bytes = (size_t)dy->dims[3] * sizeof(_Float16), columns = (size_t)(g.w.in / g.w.stride);
    const size_t rows = most / (columns ? columns : 1) + 1;
    if (rows * (size_t)g.w.out + columns + 1 > UINT16_MAX / pixel_bytes)
        return false;
    if (each < most && each < g.inputs)
        return false;
    if (g.inputs >= most && g.h.stride == 1 && g.w.stride == 1) /* channels fill them as well, and lie side by side */
        return false;
    const _Float16 *from = c->data[0], *weights = c->data[1];
    _Float16 *to = c->data[2];
    for (size_t n = 0; n < images; n++, from += pe_tensor_elements(dy) / images, to += pe_tensor_elements(dx) / images)
        for (size_t group = 0; group < groups; group++)
            for (int32_t y = 0; y < g.h.stride && y < g.h.in; y++)
                for (int32_t x = 0; x < g.w.stride && x < g.w.in; x++)
                    residue(&g, y, x, from + group * g.outputs, weights + group * pe_tensor_elements(w) / groups,
                            to + group * g.inputs);
    return true;
}
