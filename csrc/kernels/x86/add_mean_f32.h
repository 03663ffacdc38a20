#include "kernels/layers.h"
#include "kernels/x86/f16.h"
#include "ops/reduce.h"

/* add_f32 and add_f16 of equal shapes; avg_pool2d_f32 and mean_f32 over neighbouring axes, which are sums of rows of floats. */

typedef struct add {
    size_t a, b, y, n; /* in the arena; elements */
    pe_clip clip;
} add;

static bool add_takes(const pe_call *c, pe_layer_bytes *bytes)
{
    const pe_add_params *p = c->params;
    const pe_tensor *a = c->tensor[0], *b = c->tensor[1], *y = c->tensor[2];
    bytes->packed = sizeof(add);
    return pe_in_arena(a) && pe_in_arena(b) && a->bytes == y->bytes && b->bytes == y->bytes &&
           pe_clip_fits(&(pe_clip){p->f_min, p->f_max});
}

static void add_pack(const pe_call *c, void *packed)
{
    const pe_add_params *p = c->params;
    *(add *)packed = (add){.a = c->tensor[0]->offset,
                           .b = c->tensor[1]->offset,
                           .y = c->tensor[2]->offset,
                           .n = pe_tensor_elements(c->tensor[2]),
                           .clip = {p->f_min, p->f_max}};
}

static void add_run(const void *packed, uint8_t *arena, uint8_t *work)
{
    const add *l = packed;
    const float *a = (const float *)(arena + l->a), *b = (const float *)(arena + l->b);
    float *y = (float *)(arena + l->y);
    const pe_clip_v clip = pe_clip_all(&l->clip);
    (void)work;
    size_t i = 0;
    for (; i + PE_LANES <= l->n; i += PE_LANES)
        pe_f32v_store(y + i, pe_f32v_clip(pe_f32v_add(pe_f32v_load(a + i), pe_f32v_load(b + i)), &clip));
    if (i < l->n) {
        const size_t rest = l->n - i;
        const pe_f32v sum = pe_f32v_add(pe_f32v_load_first(a + i, rest), pe_f32v_load_first(b + i, rest));
        pe_f32v_store_first(y + i, pe_f32v_clip(sum, &clip), rest);
    }
}

static void add_f16_run(const void *packed, uint8_t *arena, uint8_t *work)
{
    const add *l = packed;
    const pe_clip_v clip = pe_clip_all(&l->clip);
    (void)work;
    for (size_t i = 0; i < l->n; i += PE_LANES) {
        const size_t n = l->n - i;
        const pe_f32v a = pe_floatv_load(arena + l->a, i, n, true), b = pe_floatv_load(arena + l->b, i, n, true);
        pe_floatv_store(arena + l->y, i, pe_f32v_clip(pe_f32v_add(a, b), &clip), n, true);
    }
}

/* Windows over [images, h, w, c]: all of y's pixels, or one that covers x. */
typedef struct pool {
    size_t x, y;          /* in the arena */
    size_t image, row, c; /* floats of x */
    int32_t images, h, w; /* of x */
    int32_t rows, cols;   /* of y */
    pe_pool2d_params p;
} pool;

static bool pool_takes(const pe_call *c, pe_layer_bytes *bytes)
{
    const pe_pool2d_params *p = c->params;
    bytes->packed = sizeof(pool);
    return pe_in_arena(c->tensor[0]) && pe_clip_fits(&(pe_clip){p->f_min, p->f_max});
}

static void pool_pack(const pe_call *c, void *packed)
{
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    pool *l = packed;
    *l = (pool){.x = x->offset,
                .y = y->offset,
                .c = (size_t)x->dims[3],
                .images = x->dims[0],
                .h = x->dims[1],
                .w = x->dims[2],
                .rows = y->dims[1],
                .cols = y->dims[2],
                .p = *(const pe_pool2d_params *)c->params};
    l->row = (size_t)l->w * l->c;
    l->image = (size_t)l->h * l->row;
}

/* The axes that are reduced are neighbours, [outer, reduced, inner]: as pooling over rows of one column. */
static bool mean_describe(const pe_call *c, pool *l)
{
    const pe_tensor *x = c->tensor[0];
    const uint32_t axes = ((const pe_mean_params *)c->params)->axes;
    size_t outer = 1, reduced = 1, inner = 1;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < x->rank; i++) {
        const size_t n = (size_t)x->dims[i];
        if (axes >> i & 1) {
            if (inner > 1)
                return false;
            reduced *= n;
            seen = 1;
        } else if (seen) {
            inner *= n;
        } else {
            outer *= n;
        }
    }
    const float none = __builtin_inff();
    const int32_t kernel = (int32_t)reduced;
    *l = (pool){.x = x->offset,
                .y = c->tensor[1]->offset,
                .image = reduced * inner,
                .row = inner,
                .c = inner,
                .images = (int32_t)outer,
                .h = kernel,
                .w = 1,
                .rows = 1,
                .cols = 1,
                .p = {.kernel_h = kernel, .kernel_w = 1, .stride_h = 1, .stride_w = 1, .f_min = -none, .f_max = none}};
    return pe_in_arena(x) && inner >= PE_LANES;
}

static bool mean_takes(const pe_call *c, pe_layer_bytes *bytes)
{
    pool l;
    bytes->packed = sizeof l;
    return mean_describe(c, &l);
}

static void mean_pack(const pe_call *c, void *packed)
{
    mean_describe(c, packed);
}

/* The mean of rows * cols pixels from x on, of N vectors of channels; of the last one `last` lanes. */
PE_INLINE void window_of(const pool *l, const float *x, int32_t rows, int32_t cols, float *y, const size_t last,
                         const int N)
{
    const pe_f32v count = pe_f32v_all((float)((uint32_t)rows * (uint32_t)cols));
    const pe_clip_v clip = pe_clip_all(&(pe_clip){l->p.f_min, l->p.f_max});
    pe_f32v sum[4];
    PE_FOR (i, N)
        sum[i] = pe_f32v_all(0);
    for (int32_t r = 0; r < rows; r++, x += l->row) {
        const float *at = x;
        for (int32_t k = 0; k < cols; k++, at += l->c) {
            PE_FOR (i, N - 1)
                sum[i] = pe_f32v_add(sum[i], pe_f32v_load(at + PE_LANES * i));
            sum[N - 1] = pe_f32v_add(sum[N - 1], pe_f32v_load_first(at + PE_LANES * (N - 1), last));
        }
    }
    PE_FOR (i, N - 1)
        pe_f32v_store(y + PE_LANES * i, pe_f32v_clip(pe_f32v_div(sum[i], count), &clip));
    pe_f32v_store_first(y + PE_LANES * (N - 1), pe_f32v_clip(pe_f32v_div(sum[N - 1], count), &clip), last);
}

/* Of all channels. Sums wait for each other, so four vectors are summed at once. */
PE_INLINE void window(const pool *l, const float *x, int32_t rows, int32_t cols, float *y)
{
    size_t i = 0;
    for (; i + 4 * PE_LANES <= l->c; i += 4 * PE_LANES)
        window_of(l, x + i, rows, cols, y + i, PE_LANES, 4);
    for (; i < l->c; i += PE_LANES)
        window_of(l, x + i, rows, cols, y + i, l->c - i < PE_LANES ? l->c - i : PE_LANES, 1);
}

static void pool_run(const void *packed, uint8_t *arena, uint8_t *work)
{
    const pool *l = packed;
    const pe_pool2d_params *p = &l->p;
    const float *x = (const float *)(arena + l->x);
    float *y = (float *)(arena + l->y);
    (void)work;
    for (int32_t n = 0; n < l->images; n++, x += l->image)
        for (int32_t r = 0; r < l->rows; r++)
            for (int32_t k = 0; k < l->cols; k++, y += l->c) {
                const int32_t top = r * p->stride_h - p->pad_top, left = k * p->stride_w - p->pad_left;
                const int32_t y0 = top < 0 ? 0 : top, y1 = l->h - top < p->kernel_h ? l->h : top + p->kernel_h;
                const int32_t x0 = left < 0 ? 0 : left, x1 = l->w - left < p->kernel_w ? l->w : left + p->kernel_w;
                window(l, x + (size_t)y0 * l->row + (size_t)x0 * l->c, y1 - y0, x1 - x0, y);
            }
}

const pe_layer PE_LEVEL(pe_layer_add_f32) = {PE_OP_ADD_F32, PE_LEVEL_NAME(add_f32), add_takes, add_pack, add_run};
const pe_layer PE_LEVEL(pe_layer_add_f16) = {PE_OP_ADD_F16, PE_LEVEL_NAME(add_f16), add_takes, add_pack, add_f16_run};
const pe_layer PE_LEVEL(pe_layer_avg_pool2d_f32) = {PE_OP_AVG_POOL2D_F32, PE_LEVEL_NAME(avg_pool2d_f32), pool_takes,
                                                    pool_pack, pool_run};
const pe_layer PE_LEVEL(pe_layer_mean_f32) = {PE_OP_MEAN_F32, PE_LEVEL_NAME(mean_f32), mean_takes, mean_pack, pool_run};
