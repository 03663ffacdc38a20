/* Sums of gradients (kernels.h, pe_gemm_acc_f32_fn and those after it) by tiles of c: some rows by one or two vectors. */
#ifndef PE_NEON_GEMM_ACC_H
#define PE_NEON_GEMM_ACC_H
#include "kernels/kernels.h"
#include "kernels/neon/convert.h"

/* Where a tile lies in all operands. n: its columns. */
typedef struct pe_acc_tile {
    const void *a, *b;
    float *c;
    uint16_t *runs; /* of fast16 */
    size_t n;
} pe_acc_tile;

typedef void pe_acc_tile_fn(const pe_acc_geometry *g, const pe_acc_tile *t);

/* Of 8, 4 and 1 rows; of two vectors, one, and the first lanes of one. */
typedef pe_acc_tile_fn *const pe_acc_tiles[3][3];

/* lanes: of a vector. */
PE_INLINE void pe_acc_walk(const pe_acc_geometry *g, const pe_acc_tiles tiles, size_t lanes, const void *a,
                           const void *b, float *c, uint16_t *runs)
{
    static const size_t rows[] = {8, 4, 1};
    const size_t a_bytes = g->a_is_f16 ? 2 : 4, b_bytes = g->b_is_f16 ? 2 : 4;
    const size_t most = g->a_k == 1 || g->a_m == 1 ? g->m : 0; /* else a tile of one row alone reads a */
    for (size_t i = 0, m; i < g->m; i += m) {
        const int height = i + 8 <= most ? 0 : i + 4 <= most ? 1 : 2;
        m = rows[height];
        pe_acc_tile t = {.a = (const uint8_t *)a + i * g->a_m * a_bytes};
        for (size_t j = 0; j < g->n; j += t.n) {
            const size_t left = g->n - j, at = i * g->c_m + j;
            const int width = left >= 2 * lanes ? 0 : left >= lanes ? 1 : 2;
            t.n = width == 0 ? 2 * lanes : width == 1 ? lanes : left;
            t.b = (const uint8_t *)b + j * b_bytes;
            t.c = c + at;
            t.runs = runs ? runs + at : NULL;
            tiles[height][width](g, &t);
        }
    }
}

/* Tiles by a file's function tile(g, t, M, V, PART, BY_K), of V vectors, or of a part of one. BY_K: the products of a row of a
 * are neighbours; else the rows of a product, if there are several. */
#define PE_ACC_TILE(name, tile, ...)                                 \
    static void name(const pe_acc_geometry *g, const pe_acc_tile *t) \
    {                                                                \
        tile(g, t, __VA_ARGS__);                                     \
    }
#define PE_ACC_TILES(name, tile, BY_K)                 \
    PE_ACC_TILE(name##_8x2, tile, 8, 2, false, BY_K)   \
    PE_ACC_TILE(name##_8x1, tile, 8, 1, false, BY_K)   \
    PE_ACC_TILE(name##_8_part, tile, 8, 1, true, BY_K) \
    PE_ACC_TILE(name##_4x2, tile, 4, 2, false, BY_K)   \
    PE_ACC_TILE(name##_4x1, tile, 4, 1, false, BY_K)   \
    PE_ACC_TILE(name##_4_part, tile, 4, 1, true, BY_K) \
    PE_ACC_TILE(name##_1x2, tile, 1, 2, false, BY_K)   \
    PE_ACC_TILE(name##_1x1, tile, 1, 1, false, BY_K)   \
    PE_ACC_TILE(name##_1_part, tile, 1, 1, true, BY_K) \
    static pe_acc_tiles name = {                       \
        {name##_8x2, name##_8x1, name##_8_part},       \
        {name##_4x2, name##_4x1, name##_4_part},       \
        {name##_1x2, name##_1x1, name##_1_part},       \
    };

/* The first n < 4 floats; further lanes are 0. */
PE_INLINE float32x4_t pe_neon_first_f32(const float *x, size_t n)
{
    float32x4_t v = vdupq_n_f32(0);
    v = vld1q_lane_f32(x, v, 0);
    if (n > 1)
        v = vld1q_lane_f32(x + 1, v, 1);
    if (n > 2)
        v = vld1q_lane_f32(x + 2, v, 2);
    return v;
}

/* The first n < 8 float16. */
PE_INLINE uint16x8_t pe_neon_first_f16(const uint16_t *x, size_t n)
{
    uint16_t elements[8] = {0};
    for (size_t i = 0; i < n; i++)
        elements[i] = x[i];
    return vld1q_u16(elements);
}

/* Sums in float of float or float16 elements. */
PE_INLINE float32x4_t pe_acc_load(const void *x, size_t at, size_t n, const bool part, const bool is_f16)
{
    if (is_f16)
        return pe_neon_widen(part ? vget_low_u16(pe_neon_first_f16((const uint16_t *)x + at, n))
                                  : vld1_u16((const uint16_t *)x + at));
    return part ? pe_neon_first_f32((const float *)x + at, n) : vld1q_f32((const float *)x + at);
}

PE_INLINE float32x4_t pe_acc_all(const void *x, size_t at, const bool is_f16)
{
    return is_f16 ? pe_neon_widen(vld1_dup_u16((const uint16_t *)x + at)) : vld1q_dup_f32((const float *)x + at);
}

/* a_is_f16, b_is_f16: constants, or not, where types are mixed. */
PE_INLINE void pe_acc_tile_f32(const pe_acc_geometry *g, const pe_acc_tile *t, const int M, const int V,
                               const bool PART, const bool BY_K, const bool a_is_f16, const bool b_is_f16)
{
    const size_t c_m = g->c_m, n = t->n, a_bytes = a_is_f16 ? 2 : 4, b_bytes = b_is_f16 ? 2 : 4;
    const size_t a_m = g->a_m, a_k = g->a_k * a_bytes, b_k = g->b_k * b_bytes;
    const uint8_t *a = t->a, *b = t->b;
    float32x4_t sum[8][2];
    PE_FOR (m, M)
        PE_FOR (v, V)
            sum[m][v] = g->fresh ? vdupq_n_f32(0) : pe_acc_load(t->c, (size_t)m * c_m + 4 * (size_t)v, n, PART, false);
    size_t k = g->k;
#define STEP(X)                                                      \
    {                                                                \
        float32x4_t w[2];                                            \
        PE_FOR (v, V)                                                \
            w[v] = pe_acc_load(b, 4 * (size_t)v, n, PART, b_is_f16); \
        b += b_k;                                                    \
        PE_FOR (m, M)                                                \
            PE_FOR (v, V)                                            \
                sum[m][v] = vfmaq_n_f32(sum[m][v], w[v], X);         \
    }
    float32x4_t x[8];
    if (BY_K) {
        for (; k >= 4; k -= 4, a += 4 * a_bytes) {
            PE_FOR (m, M)
                x[m] = pe_acc_load(a, (size_t)m * a_m, 4, false, a_is_f16);
            STEP(x[m][0])
            STEP(x[m][1])
            STEP(x[m][2])
            STEP(x[m][3])
        }
        for (; k; k--, a += a_bytes) {
            PE_FOR (m, M)
                x[m] = pe_acc_all(a, (size_t)m * a_m, a_is_f16);
            STEP(x[m][0])
        }
    } else {
        for (; k; k--, a += a_k) {
            if (M == 1)
                x[0] = pe_acc_all(a, 0, a_is_f16);
            else
                PE_FOR (i, M / 4)
                    x[i] = pe_acc_load(a, 4 * (size_t)i, 4, false, a_is_f16);
            STEP(x[m / 4][m % 4])
        }
    }
#undef STEP
    PE_FOR (m, M)
        PE_FOR (v, V)
            pe_neon_store_f32(t->c + (size_t)m * c_m + 4 * v, sum[m][v], PART ? n : 4);
}
#endif
