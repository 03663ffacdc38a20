/* Rows of an image with their padding as values, as windows read them. */
#ifndef PE_NEON_STAGE_H
#define PE_NEON_STAGE_H
#include <stddef.h>
#include <stdint.h>

typedef struct pe_neon_stage {
    int32_t rows;             /* of the image; those before and behind are padding */
    int32_t step;             /* from one staged row to the next, in rows of the image */
    size_t row_bytes;         /* of the image */
    size_t left, body, right; /* bytes of a staged row: padding, image, padding */
    uint8_t fill;             /* padding: x's zero point, or a byte of +0 */
} pe_neon_stage;

static inline size_t pe_neon_stage_stride(const pe_neon_stage *s)
{
    return s->left + s->body + s->right;
}

/* Stages n rows from row `first` of the image on, which may be before it or behind. */
static inline void pe_neon_stage_rows(const pe_neon_stage *s, const uint8_t *image, int32_t first, int32_t n,
                                      uint8_t *to)
{
    const size_t stride = pe_neon_stage_stride(s);
    for (; n; n--, first += s->step, to += stride) {
        if (first < 0 || first >= s->rows) {
            __builtin_memset(to, s->fill, stride);
            continue;
        }
        __builtin_memset(to, s->fill, s->left);
        __builtin_memcpy(to + s->left, image + (size_t)first * s->row_bytes, s->body);
        __builtin_memset(to + s->left + s->body, s->fill, s->right);
    }
}
#endif
