/* Images of floats as convolutions read them: x where it lies, or where windows reach over its edges, bands of its rows
 * copied with padding as zeros. (Padding takes part in the sums: a weight may be infinite.) */
#ifndef PE_X86_IMAGE_F32_H
#define PE_X86_IMAGE_F32_H
#include "kernels/layers.h"
#include "kernels/x86/f32.h"
#include "ops/window.h"

#define PE_BAND_BYTES 24576      /* copied rows at once, if that is more than one row of y needs */
#define PE_WORK_BYTES (16 << 20) /* copied rows at most: padding or dilation that dwarfs the image is not worth it */
#define PE_SLACK_BYTES 256       /* behind the copied rows: written, and read into lanes that are not stored */

typedef struct pe_image_f32 {
    size_t x, y;                         /* in the arena, bytes */
    size_t x_image, y_image;             /* floats */
    int32_t images, rows, cols;          /* of y */
    int32_t in_rows;                     /* of x */
    int32_t stride, dilation, pad, taps; /* along a column */
    int32_t band;                        /* rows of y that are computed from one copy */
    bool in_place;
    size_t x_row, y_row;      /* floats */
    size_t left, body, right; /* floats of a copied row */
    size_t row;               /* floats from row to row as they are read */
    size_t pixel;             /* floats from one pixel of y to the next, as they are read */
} pe_image_f32;

/* Turns an axis of x and dy into one of a convolution of dy, which gives dx. False: with steps, or padding beyond the reach
 * of a window. */
static inline bool pe_image_turn(pe_axis *a)
{
    *a = (pe_axis){a->out, a->in, a->taps, a->stride, a->dilation, (a->taps - 1) * a->dilation - a->pad};
    return a->stride == 1 && a->pad >= 0;
}

/* Rows of x that n rows of y need. */
static inline int32_t pe_image_rows(const pe_image_f32 *m, int32_t n)
{
    return (n - 1) * m->stride + (m->taps - 1) * m->dilation + 1;
}

/* x: [images, h.in, v.in, c], y: [images, h.out, v.out, c_out]. copy: also where windows lie inside x. band:
 * bytes of a band, if that is more than PE_BAND_BYTES. False: too much work memory. */
static bool pe_image_describe(pe_image_f32 *m, const pe_tensor *x, const pe_tensor *y, pe_axis h, pe_axis v,
                              int32_t images, size_t c, size_t c_out, bool copy, size_t band, size_t *work)
{
    const int64_t last = (int64_t)(v.out - 1) * v.stride + (int64_t)(v.taps - 1) * v.dilation + 1 - v.pad;
    const int64_t body = last < 0 ? 0 : last < v.in ? last : v.in; /* columns of x, and of padding behind */
    *m = (pe_image_f32){
        .x = x->offset,
        .y = y->offset,
        .x_row = (size_t)v.in * c,
        .y_row = (size_t)v.out * c_out,
        .images = images,
        .rows = h.out,
        .cols = v.out,
        .in_rows = h.in,
        .stride = h.stride,
        .dilation = h.dilation,
        .pad = h.pad,
        .taps = h.taps,
        .band = h.out,
        .in_place = !copy && pe_axis_inside(&h) && pe_axis_inside(&v),
        .left = (size_t)v.pad * c,
        .body = (size_t)body * c,
        .right = last > body ? (size_t)(last - body) * c : 0,
        .pixel = (size_t)v.stride * c,
    };
    m->x_image = (size_t)h.in * m->x_row;
    m->y_image = (size_t)h.out * m->y_row;
    m->row = m->in_place ? m->x_row : m->left + m->body + m->right;
    *work = 0;
    if (m->in_place)
        return true;
    const size_t row_bytes = m->row * sizeof(float);
    const size_t most = band > PE_BAND_BYTES ? band : PE_BAND_BYTES;
    while (m->band > 1 && (size_t)pe_image_rows(m, m->band) * row_bytes > most)
        m->band = (m->band + 1) / 2;
    *work = (size_t)pe_image_rows(m, m->band) * row_bytes + PE_SLACK_BYTES;
    return *work <= PE_WORK_BYTES;
}

/* Room for pe_image_pairs() behind each band. False: too much work memory. */
static inline bool pe_image_pair(pe_image_f32 *m, size_t *work)
{
    const size_t row_bytes = 3 * m->row * sizeof(float);
    while (m->band > 1 && (size_t)pe_image_rows(m, m->band) * row_bytes > PE_BAND_BYTES)
        m->band = (m->band + 1) / 2;
    *work = (size_t)pe_image_rows(m, m->band) * row_bytes + 3 * PE_SLACK_BYTES + 2 * m->pixel * sizeof(float);
    return *work <= PE_WORK_BYTES;
}

/* n zeros, and up to PE_LANES - 1 more. */
static inline float *pe_image_zeros(float *to, size_t n)
{
    for (size_t i = 0; i < n; i += PE_LANES)
        pe_f32v_store(to + i, pe_f32v_all(0));
    return to + n;
}

/* n floats, and up to PE_LANES - 1 zeros. */
static inline float *pe_image_copy(float *to, const float *from, size_t n)
{
    size_t i = 0;
    for (; i + PE_LANES <= n; i += PE_LANES)
        pe_f32v_store(to + i, pe_f32v_load(from + i));
    if (i < n)
        pe_f32v_store(to + i, pe_f32v_load_first(from + i, n - i));
    return to + n;
}

/* Where rows first .. end - 1 of y, at most a band, find their first window: in x, or copied to work, whose slack is
 * written as well. */
static inline const float *pe_image_band(const pe_image_f32 *m, const float *x, int32_t first, int32_t end, float *work)
{
    int32_t row = first * m->stride - m->pad;
    if (m->in_place)
        return x + (size_t)row * m->x_row;
    float *to = work;
    for (int32_t n = pe_image_rows(m, end - first); n; n--, row++) {
        if (row < 0 || row >= m->in_rows) {
            to = pe_image_zeros(to, m->row);
            continue;
        }
        to = pe_image_zeros(to, m->left);
        to = pe_image_copy(to, x + (size_t)row * m->x_row, m->body);
        to = pe_image_zeros(to, m->right);
    }
    return work;
}

#ifdef __AVX512F__
/* A band of rows of y, copied to work, once more behind it: each float beside the one a pixel of y further. */
static inline const float *pe_image_pairs(const pe_image_f32 *m, int32_t rows, const float *from, float *work)
{
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    const size_t n = (size_t)pe_image_rows(m, rows) * m->row;
    float *const to = work + (n + m->pixel + PE_SLACK_BYTES / sizeof(float)) / PE_LANES * PE_LANES;
    for (size_t i = 0; i < n; i += PE_LANES) {
        const pe_f32v a = pe_f32v_load(from + i), b = pe_f32v_load(from + i + m->pixel);
        pe_f32v_store(to + 2 * i, _mm512_permutex2var_ps(a, low, b));
        pe_f32v_store(to + 2 * i + PE_LANES, _mm512_permutex2var_ps(a, high, b));
    }
    return to;
}
#endif
#endif
