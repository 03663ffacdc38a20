#include "kernels/mve/mve.h"
#include "ops/ops.h"

/* avg_pool2d_s8, max_pool2d_s8: channels lie across the vectors, 4 or 16 of them. */

/* The part of a window that lies in x; step: bytes, from row to row. */
typedef struct window {
    const int8_t *x;
    int32_t rows, cols;
    uint32_t step;
} window;

typedef void window_fn(const window *w, uint32_t channels, const pe_pool2d_params *p, int8_t *y);

static void for_each_window(const pe_call *c, window_fn *f)
{
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    const pe_pool2d_params *p = c->params;
    const int32_t height = x->dims[1], width = x->dims[2];
    const uint32_t channels = (uint32_t)x->dims[3], step = (uint32_t)width * channels;
    const int8_t *image = c->data[0];
    int8_t *to = c->data[1];
    for (int32_t n = x->dims[0]; n; n--, image += (uint32_t)height * step)
        for (int32_t oy = 0; oy < y->dims[1]; oy++) {
            const int32_t top = oy * p->stride_h - p->pad_top, y0 = top < 0 ? 0 : top;
            const int32_t y1 = height - top < p->kernel_h ? height : top + p->kernel_h;
            for (int32_t ox = 0; ox < y->dims[2]; ox++, to += channels) {
                const int32_t left = ox * p->stride_w - p->pad_left, x0 = left < 0 ? 0 : left;
                const int32_t x1 = width - left < p->kernel_w ? width : left + p->kernel_w;
                const window w = {image + (uint32_t)y0 * step + (uint32_t)x0 * channels, y1 - y0, x1 - x0, step};
                f(&w, channels, p, to);
            }
        }
}

static void max_window(const window *w, uint32_t channels, const pe_pool2d_params *p, int8_t *y)
{
    const int8x16_t min = vdupq_n_s8((int8_t)p->y_min), max = vdupq_n_s8((int8_t)p->y_max);
    for (uint32_t first = 0; first < channels; first += 16) {
        const mve_pred16_t in = vctp8q(channels - first);
        int8x16_t most = min;
        const int8_t *row = w->x + first;
        for (int32_t i = w->rows; i; i--, row += w->step) {
            const int8_t *x = row;
            for (int32_t k = w->cols; k; k--, x += channels)
                most = vmaxq_s8(most, vldrbq_z_s8(x, in));
        }
        vstrbq_p_s8(y + first, vminq_s8(most, max), in);
    }
}

/* Halves away from zero: the magnitude of a sum and a half, by the reciprocal of their number. */
static void avg_window(const window *w, uint32_t channels, const pe_pool2d_params *p, int8_t *y)
{
    const uint32_t count = (uint32_t)(w->rows * w->cols), reciprocal = count > 1 ? UINT32_MAX / count + 1 : 0;
    const int32x4_t min = vdupq_n_s32(p->y_min), max = vdupq_n_s32(p->y_max);
    for (uint32_t first = 0; first < channels; first += 4) {
        const mve_pred16_t in = vctp32q(channels - first);
        int32x4_t sum = vdupq_n_s32(0);
        const int8_t *row = w->x + first;
        for (int32_t i = w->rows; i; i--, row += w->step) {
            const int8_t *x = row;
            for (int32_t k = w->cols; k; k--, x += channels)
                sum = vaddq_s32(sum, vldrbq_z_s32(x, in));
        }
        if (count > 1) {
            const uint32x4_t rounded = vaddq_n_u32(vreinterpretq_u32_s32(vabsq_s32(sum)), count / 2);
            const int32x4_t mean = vreinterpretq_s32_u32(vmulhq_u32(rounded, vdupq_n_u32(reciprocal)));
            sum = vnegq_m_s32(mean, mean, vcmpltq_n_s32(sum, 0));
        }
        vstrbq_p_s32(y + first, vminq_s32(vmaxq_s32(sum, min), max), in);
    }
}

bool pe_avg_pool2d_s8__mve(const pe_call *c)
{
    /* n * reciprocal / 2^32 is n / count, rounded down, while n * count < 2^32; n is at most 128 * count + count / 2. */
    const int64_t most = 5770;
    const pe_pool2d_params *p = c->params;
    if ((int64_t)p->kernel_h * p->kernel_w > most)
        return false;
    for_each_window(c, avg_window);
    return true;
}

bool pe_max_pool2d_s8__mve(const pe_call *c)
{
    for_each_window(c, max_window);
    return true;
}
