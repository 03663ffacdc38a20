/* Rows of an image as the int8 kernels read them: u = x + 128, with padding as values. */
#ifndef PE_AVX512_STAGE_H
#define PE_AVX512_STAGE_H
#include "kernels/avx512/requantize.h"

#define PE_STAGE_SLACK \
    256 /* bytes behind the staged rows that may be written, and read into sums that meet zero weights */

typedef struct pe_stage {
    int32_t rows;         /* of the image; those before and behind are padding */
    int32_t step;         /* from one staged row to the next, in rows of the image */
    size_t row_bytes;     /* of the image */
    size_t left, right;   /* bytes of padding in a staged row */
    size_t body;          /* bytes of the image in a staged row, before they are spread */
    uint32_t c, c_staged; /* channels of a pixel, in the image and staged: where they differ, c_staged is 8, 16 or 32 */
    uint8_t fill;         /* padding, as u */
} pe_stage;

static inline size_t pe_stage_body(const pe_stage *s)
{
    return s->body / s->c * s->c_staged;
}

/* Bytes before the padding of a staged row: long rows begin on 64 bytes. */
static inline size_t pe_stage_gap(const pe_stage *s)
{
    return pe_stage_body(s) < 256 ? 0 : (0 - s->left) % 64;
}

/* Bytes of a staged row. */
static inline size_t pe_stage_stride(const pe_stage *s)
{
    const size_t bytes = pe_stage_gap(s) + s->left + pe_stage_body(s) + s->right;
    return pe_stage_body(s) < 256 ? bytes : (bytes + 63) / 64 * 64;
}

PE_INLINE uint8_t *pe_stage_fill(uint8_t *to, size_t n, __m512i fill)
{
    for (size_t i = 0; i < n; i += 64)
        _mm512_storeu_si512(to + i, fill);
    return to + n;
}

/* Stages n rows from row `first` of the image on, which may be before it or behind. The padding of a row begins
 * pe_stage_gap() behind to. Writes up to 63 bytes more. */
PE_INLINE void pe_stage_rows(const pe_stage *s, const uint8_t *image, int32_t first, int32_t n, uint8_t *to)
{
    const __m512i fill = _mm512_set1_epi8((int8_t)s->fill), flip = _mm512_set1_epi8(-128);
    const size_t body = s->body;
    uint8_t *row = to + pe_stage_gap(s);
    for (; n; n--, first += s->step, row += pe_stage_stride(s)) {
        if (first < 0 || first >= s->rows) {
            pe_stage_fill(row, s->left + pe_stage_body(s) + s->right, fill);
            continue;
        }
        const uint8_t *from = image + (size_t)first * s->row_bytes;
        uint8_t *at = pe_stage_fill(row, s->left, fill);
        if (s->c == s->c_staged) {
            size_t i = 0;
            for (; i + 64 <= body; i += 64)
                _mm512_storeu_si512(at + i, _mm512_xor_si512(_mm512_loadu_si512(from + i), flip));
            if (i < body)
                _mm512_storeu_si512(at + i,
                                    _mm512_xor_si512(_mm512_maskz_loadu_epi8(pe_first64(body - i), from + i), flip));
        } else {
            /* 64 / c_staged pixels at once: their bytes are spread, zeros between them. */
            const size_t pixels = 64 / s->c_staged, step = pixels * s->c;
            __mmask64 spread = 0;
            for (size_t p = 0; p < pixels; p++)
                spread |= pe_first64(s->c) << p * s->c_staged;
            uint8_t *part = at;
            for (size_t i = 0; i < body; i += step, part += 64) {
                const __m512i x = _mm512_maskz_loadu_epi8(pe_first64(body - i < step ? body - i : step), from + i);
                _mm512_storeu_si512(part, _mm512_maskz_expand_epi8(spread, _mm512_xor_si512(x, flip)));
            }
        }
        pe_stage_fill(at + pe_stage_body(s), s->right, fill);
    }
}
#endif
