/* Tiles of conv2d_s8 and linear_s8: MR pixels by NR * 16 channels. 4 bytes of each pixel are broadcast and multiplied by 4
 * weights of each channel; sums are requantized and stored where they belong. */
#ifndef PE_AVX512_CONV2D_S8_TILES_H
#define PE_AVX512_CONV2D_S8_TILES_H
#include "kernels/avx512/requantize.h"
#include "kernels/tiles.h"

/* What a tile needs besides its pixels. */
typedef struct job {
    const int8_t *weights;
    size_t taps, kd, row; /* rows of windows, 4-byte steps in each, bytes from one to the next */
    const pe_rq16 *q;
    pe_rq_form form;
    uint32_t channels; /* of the block */
    uint32_t stride;   /* bytes of y from pixel to pixel */
    const pe_output_s8 *out;
} job;

/* n pixels of y, n >= MR of the tile. u: the window of the first; step: staged bytes from one to the next. */
typedef void pixels_fn(const job *j, const uint8_t *u, size_t step, size_t n, int8_t *y);

/* Lane i of vector v in a block of nr vectors is this channel of the block: the inverse of store()'s packs. */
static uint32_t channel_of(uint32_t nr, uint32_t v, uint32_t i)
{
    return nr == 1 ? i : 4 * nr * (i / 4) + 4 * v + i % 4;
}

/* Sums [mr][nr][16] to y with PE_RQ_ANY: rare, so once for all tiles, out of their way. */
static __attribute__((noinline)) void store_any(const int32_t *sums, const job *j, int8_t *y, uint32_t mr, uint32_t nr)
{
    for (uint32_t p = 0; p < mr; p++, y += j->stride)
        for (uint32_t v = 0; v < nr; v++, sums += 16) {
            int32_t results[16];
            _mm512_storeu_si512(results, pe_rq16_any(_mm512_loadu_si512(sums), &j->q[v], j->out));
            for (uint32_t i = 0; i < 16; i++) {
                const uint32_t channel = channel_of(nr, v, i);
                if (channel < j->channels)
                    y[channel] = (int8_t)results[i];
            }
        }
}

/* Sums of MR x NR vectors to y. */
PE_INLINE void store(__m512i sum[16][4], const job *j, int8_t *y, const int MR, const int NR, const pe_rq_form form)
{
    const pe_clamp clamp = pe_clamp_of(j->out);
    const __m512i zero = _mm512_setzero_si512();
    PE_FOR (n, NR)
        PE_FOR (p, MR)
            sum[p][n] = pe_rq16_apply(sum[p][n], &j->q[n], j->out, form);
    if (NR >= 3) {
        const __mmask64 live = pe_first64(j->channels);
        PE_FOR (p, MR) {
            __m512i v = pe_pack64(sum[p][0], sum[p][1], sum[p][2], NR == 4 ? sum[p][NR - 1] : zero, &clamp);
            if (NR == 3)
                v = _mm512_maskz_compress_epi32(0x7777, v);
            _mm512_mask_storeu_epi8(y + (size_t)p * j->stride, live, v);
        }
    } else if (NR == 2) {
        const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
        const __mmask32 live = (__mmask32)pe_first64(j->channels);
        PE_FOR (pair, (MR + 1) / 2) {
            const int p = 2 * pair;
            const int second = p + 1 < MR ? p + 1 : p;
            const __m512i v = _mm512_permutexvar_epi64(
                order, pe_pack64(sum[p][0], sum[p][1], sum[second][0], sum[second][1], &clamp));
            _mm256_mask_storeu_epi8(y + (size_t)p * j->stride, live, _mm512_castsi512_si256(v));
            if (p + 1 < MR)
                _mm256_mask_storeu_epi8(y + (size_t)(p + 1) * j->stride, live, _mm512_extracti64x4_epi64(v, 1));
        }
    } else {
        const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        const uint64_t channels = pe_first64(j->channels);
        const bool dense = j->stride == j->channels; /* pixels are neighbours: 4 at once */
        const __mmask64 live = channels | channels << 16 | channels << 32 | channels << 48;
        PE_FOR (four, (MR + 3) / 4) {
            const int p = 4 * four;
            const int count = MR - p < 4 ? MR - p : 4;
            const __m512i v = _mm512_permutexvar_epi32(order, pe_pack64(sum[p][0], count > 1 ? sum[p + 1][0] : zero,
                                                                        count > 2 ? sum[p + 2][0] : zero,
                                                                        count > 3 ? sum[p + 3][0] : zero, &clamp));
            if (dense) {
                _mm512_mask_storeu_epi8(y + (size_t)p * j->stride, pe_first64((size_t)count * j->channels),
                                        j->channels == 16 ? v : _mm512_maskz_compress_epi8(live, v));
                continue;
            }
            const __m128i part[4] = {_mm512_castsi512_si128(v), _mm512_extracti32x4_epi32(v, 1),
                                     _mm512_extracti32x4_epi32(v, 2), _mm512_extracti32x4_epi32(v, 3)};
            PE_FOR (i, count)
                _mm_mask_storeu_epi8(y + (size_t)(p + i) * j->stride, (__mmask16)channels, part[i]);
        }
    }
}

/* Multiples of the distance of two pixels. */
typedef struct steps {
    size_t one, three, five, seven;
} steps;

#define REACH (1 << 20) /* bytes behind base that the assembly is said to read */
#define BROADCAST(address, index)                                              \
    if (BYTES == 4)                                                            \
        __asm__("vpbroadcastd " address ", %0"                                 \
                : "=v"(x)                                                      \
                : "r"(base), "r"(index), "m"(*(const uint8_t(*)[REACH])base)); \
    else                                                                       \
        __asm__("vpbroadcastq " address ", %0" : "=v"(x) : "r"(base), "r"(index), "m"(*(const uint8_t(*)[REACH])base))

/* 4 or 8 bytes of pixel p, over and over; at8 is pixel 8. In assembly, because GCC 12 keeps an offset for each pixel, and of
 * 16 it spills most: 78 % of the peak. Scaled by 1, 2 and 4, the four steps reach 8 pixels from one base. */
PE_INLINE __m512i pixel(const uint8_t *at, const uint8_t *at8, const steps *s, const int p, const int BYTES)
{
    const uint8_t *base = p < 8 ? at : at8;
    __m512i x;
    switch (p % 8) {
    case 0: BROADCAST("(%1)", s->one); break;
    case 1: BROADCAST("(%1,%2)", s->one); break;
    case 2: BROADCAST("(%1,%2,2)", s->one); break;
    case 3: BROADCAST("(%1,%2)", s->three); break;
    case 4: BROADCAST("(%1,%2,4)", s->one); break;
    case 5: BROADCAST("(%1,%2)", s->five); break;
    case 6: BROADCAST("(%1,%2,2)", s->three); break;
    default: BROADCAST("(%1,%2)", s->seven); break;
    }
    return x;
}

/* n pixels of y, MR at once; the last tile goes back over pixels that are done, so n >= MR. u: the window of the first. */
PE_INLINE void pixels(const job *j, const uint8_t *u, const size_t step, size_t n, int8_t *y, const int MR,
                      const int NR)
{
    const steps s = {step, 3 * step, 5 * step, 7 * step};
    for (size_t done = 0;;) {
        __m512i sum[16][4];
        const uint8_t *from = u + done * step;
        const int8_t *w = j->weights;
        PE_FOR (k, NR)
            PE_FOR (p, MR)
                sum[p][k] = PE_LOAD(j->q[k].bias);
        for (size_t i = 0; i < j->taps; i++, from += j->row) {
            const uint8_t *at = from, *at8 = from + 8 * step;
            for (size_t d = j->kd; d; d--, at += 4, at8 += 4, w += 64 * NR) {
                __m512i b[4];
                PE_FOR (k, NR)
                    b[k] = PE_LOAD(w + 64 * k);
                PE_FOR (p, MR) {
                    const __m512i a = pixel(at, at8, &s, p, 4);
                    PE_FOR (k, NR)
                        sum[p][k] = pe_dot4(sum[p][k], a, b[k]);
                }
            }
        }
        int8_t *to = y + done * j->stride;
        switch (j->form) {
        case PE_RQ_FLOAT: store(sum, j, to, MR, NR, PE_RQ_FLOAT); break;
        case PE_RQ_FLOAT_SIGNED: store(sum, j, to, MR, NR, PE_RQ_FLOAT_SIGNED); break;
        case PE_RQ_INT: store(sum, j, to, MR, NR, PE_RQ_INT); break;
        case PE_RQ_INT_SIGNED: store(sum, j, to, MR, NR, PE_RQ_INT_SIGNED); break;
        case PE_RQ_ANY: {
            int32_t sums[MR * NR * 16];
            PE_FOR (p, MR)
                PE_FOR (k, NR)
                    _mm512_storeu_si512(sums + 16 * (p * NR + k), sum[p][k]);
            store_any(sums, j, to, (uint32_t)MR, (uint32_t)NR);
            break;
        }
        }
        done += (size_t)MR;
        if (done == n)
            return;
        if (n - done < (size_t)MR)
            done = n - (size_t)MR;
    }
}

/* 8 channels or fewer: lane 2 c takes the even steps in k of channel c and lane 2 c + 1 the odd ones, both from 8 bytes of the
 * pixel. In the end two pixels share a vector. */
PE_INLINE void narrow(const job *j, const uint8_t *u, const size_t step, size_t n, int8_t *y, const int MR,
                      const pe_rq_form form)
{
    const pe_clamp clamp = pe_clamp_of(j->out);
    const uint64_t channels = 0x0101010101010101 * (uint64_t)pe_first64(j->channels);
    /* In each 128-bit lane l of a pack: [4 vectors][channels 2 l, 2 l + 1][2 pixels]. */
    __m512i order = _mm512_setzero_si512();
    for (int l = 7; l >= 0; l--) { /* pixel l, channels 0 .. 7 */
        uint64_t from = 0;
        for (int c = 7; c >= 0; c--)
            from = from << 8 | (uint64_t)(16 * (c / 2) + 4 * (l / 2) + 2 * (c % 2) + l % 2);
        order = _mm512_mask_set1_epi64(order, (__mmask8)(1 << l), (int64_t)from);
    }
    const steps s = {step, 3 * step, 5 * step, 7 * step};
    for (size_t done = 0;;) {
        __m512i sum[16], v[8];
        const uint8_t *from = u + done * step;
        const int8_t *w = j->weights;
        PE_FOR (p, MR)
            sum[p] = PE_LOAD(j->q->bias);
        for (size_t i = 0; i < j->taps; i++, from += j->row) {
            const uint8_t *at = from, *at8 = from + 8 * step;
            for (size_t d = j->kd; d; d--, at += 8, at8 += 8, w += 64) {
                const __m512i b = PE_LOAD(w);
                PE_FOR (p, MR)
                    sum[p] = pe_dot4(sum[p], pixel(at, at8, &s, p, 8), b);
            }
        }
        PE_FOR (i, MR / 2) {
            const __m512i own = _mm512_mask_mov_epi32(sum[2 * i], 0xAAAA, sum[2 * i + 1]);
            const __m512i other = _mm512_mask_mov_epi32(sum[2 * i], 0x5555, sum[2 * i + 1]);
            v[i] = pe_rq16_apply(_mm512_add_epi32(own, _mm512_shuffle_epi32(other, 0xB1)), j->q, j->out, form);
        }
        PE_FOR (i, MR / 8) {
            const __m512i packed = pe_pack64(v[4 * i], v[4 * i + 1], v[4 * i + 2], v[4 * i + 3], &clamp);
            const __m512i ordered = _mm512_permutexvar_epi8(order, packed);
            _mm512_mask_storeu_epi8(y + (done + 8 * (size_t)i) * j->stride, pe_first64(8 * (size_t)j->channels),
                                    j->channels == 8 ? ordered : _mm512_maskz_compress_epi8(channels, ordered));
        }
        done += (size_t)MR;
        if (done == n)
            return;
        if (n - done < (size_t)MR)
            done = n - (size_t)MR;
    }
}

#define NARROW(MR)                                                                            \
    static void narrow_##MR(const job *j, const uint8_t *u, size_t step, size_t n, int8_t *y) \
    {                                                                                         \
        switch (j->form) {                                                                    \
        case PE_RQ_FLOAT: narrow(j, u, step, n, y, MR, PE_RQ_FLOAT); break;                   \
        case PE_RQ_FLOAT_SIGNED: narrow(j, u, step, n, y, MR, PE_RQ_FLOAT_SIGNED); break;     \
        case PE_RQ_INT: narrow(j, u, step, n, y, MR, PE_RQ_INT); break;                       \
        case PE_RQ_INT_SIGNED: narrow(j, u, step, n, y, MR, PE_RQ_INT_SIGNED); break;         \
        case PE_RQ_ANY: narrow(j, u, step, n, y, MR, PE_RQ_ANY); break;                       \
        }                                                                                     \
    }
NARROW(8)
NARROW(16)

/* clang-format off */
/* Tiles: NR + MR * NR accumulators and weights and one pixel fit into 32 registers. */
#define TILES(X)                                                                                                       \
    X(1, 4) X(2, 4) X(3, 4) X(4, 4) X(5, 4) X(6, 4)                                                                    \
    X(1, 3) X(2, 3) X(4, 3) X(6, 3) X(8, 3)                                                                            \
    X(1, 2) X(2, 2) X(4, 2) X(6, 2) X(8, 2) X(10, 2) X(12, 2)                                                          \
    X(1, 1) X(2, 1) X(4, 1) X(8, 1) X(12, 1) X(16, 1)

/* clang-format on */

#define TILE(MR, NR)                                                                                 \
    static void pixels_##MR##x##NR(const job *j, const uint8_t *u, size_t step, size_t n, int8_t *y) \
    {                                                                                                \
        pixels(j, u, step, n, y, MR, NR);                                                            \
    }
TILES(TILE)
#define TILE_SIZE(MR, NR) {MR, NR},
#define TILE_PIXELS(MR, NR) pixels_##MR##x##NR,
static const pe_tile tiles[] = {TILES(TILE_SIZE)};
static pixels_fn *const pixels_of[] = {TILES(TILE_PIXELS)};

/* That for n pixels of a block of nr vectors, or narrow. */
static pixels_fn *tile_for(bool is_narrow, size_t n, uint32_t nr)
{
    if (is_narrow)
        return n >= 16 ? narrow_16 : narrow_8;
    return pixels_of[pe_tile_for(tiles, sizeof tiles / sizeof tiles[0], n, nr)];
}
#endif
