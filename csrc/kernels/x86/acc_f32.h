/* Tiles of sums of products, c[m, n] += a[m] * b[n] over rows of products: gemm_acc_f32, and the gradient of weights. */
#ifndef PE_X86_ACC_F32_H
#define PE_X86_ACC_F32_H
#include "kernels/x86/f32.h"

/* Products of a tile, floats from one to the next. Row r and product k of it: a[r * a_row + k * a_k + m * a_m] and
 * b[r * b_row + k * b_k + n]. */
typedef struct pe_acc_job {
    size_t rows, k; /* >= 1 */
    size_t a_row, a_k, a_m;
    size_t b_row, b_k;
    size_t c_m;
    bool fresh; /* sums start as +0, else as c */
} pe_acc_job;

/* last: lanes of the last vector. */
typedef void pe_acc_fn(const pe_acc_job *j, const float *a, const float *b, float *c, size_t last);

PE_INLINE void pe_acc_tile(const pe_acc_job *j, const float *a, const float *b, float *c, const size_t last,
                           const int MR, const int NR)
{
    const pe_steps s = pe_steps_of(j->a_m);
    pe_f32v sum[16][8];
    if (j->fresh) {
        PE_FOR (p, MR)
            PE_FOR (n, NR)
                sum[p][n] = pe_f32v_all(0);
    } else {
        const float *from = c;
        PE_FOR (p, MR) {
            PE_FOR (n, NR - 1)
                sum[p][n] = pe_f32v_load(from + PE_LANES * n);
            sum[p][NR - 1] = pe_f32v_load_first(from + PE_LANES * (NR - 1), last);
            from += j->c_m;
        }
    }
    for (size_t r = j->rows; r; r--, a += j->a_row, b += j->b_row) {
        const float *at = a, *at8 = a + 8 * j->a_m, *w = b;
        for (size_t k = j->k; k; k--, at += j->a_k, at8 += j->a_k, w += j->b_k) {
            pe_f32v v[8];
            PE_FOR (n, NR - 1)
                v[n] = pe_f32v_load(w + PE_LANES * n);
            v[NR - 1] = pe_f32v_load_first(w + PE_LANES * (NR - 1), last);
            PE_FOR (p, MR) {
                const pe_f32v x = pe_pixel_broadcast(at, at8, &s, p);
                PE_FOR (n, NR)
                    sum[p][n] = pe_f32v_fma(x, v[n], sum[p][n]);
            }
        }
    }
    PE_FOR (p, MR) {
        PE_FOR (n, NR - 1)
            pe_f32v_store(c + PE_LANES * n, sum[p][n]);
        pe_f32v_store_first(c + PE_LANES * (NR - 1), sum[p][NR - 1], last);
        c += j->c_m;
    }
}

/* clang-format off */
#ifdef __AVX512F__
#define PE_ACC_NR 3
#define PE_ACC_TILES(X)                           \
    X(1, 1) X(2, 1) X(4, 1) X(8, 1) X(16, 1)      \
    X(1, 2) X(2, 2) X(4, 2) X(8, 2) X(12, 2)      \
    X(1, 3) X(2, 3) X(4, 3) X(8, 3)               \
    X(1, 8)
#else
#define PE_ACC_NR 2
#define PE_ACC_TILES(X)                           \
    X(1, 1) X(2, 1) X(4, 1) X(8, 1) X(12, 1)      \
    X(1, 2) X(2, 2) X(4, 2) X(6, 2)               \
    X(1, 8)
#endif
#define PE_ACC_ROW 8 /* vectors of a single row: enough sums for the latency of an FMA */
/* clang-format on */

#define PE_ACC_TILE(MR, NR)                                                                                    \
    static void pe_acc_##MR##x##NR(const pe_acc_job *j, const float *a, const float *b, float *c, size_t last) \
    {                                                                                                          \
        pe_acc_tile(j, a, b, c, last, MR, NR);                                                                 \
    }
PE_ACC_TILES(PE_ACC_TILE)
#define PE_ACC_ENTRY(MR, NR) {MR, NR, pe_acc_##MR##x##NR},
static const struct pe_acc_entry {
    size_t mr, nr;
    pe_acc_fn *run;
} pe_acc_tiles[] = {PE_ACC_TILES(PE_ACC_ENTRY)};

/* The tile of nr vectors for the first of m rows: the smallest that needs as few tiles as the largest would. */
static inline const struct pe_acc_entry *pe_acc_tile_for(size_t m, size_t nr)
{
    const struct pe_acc_entry *end = pe_acc_tiles + sizeof pe_acc_tiles / sizeof pe_acc_tiles[0], *best = NULL;
    size_t most = 1;
    for (const struct pe_acc_entry *t = pe_acc_tiles; t != end; t++)
        most = t->nr == nr && t->mr > most ? t->mr : most;
    const size_t wanted = (m - 1) / ((m - 1) / most + 1) + 1;
    for (const struct pe_acc_entry *t = pe_acc_tiles; t != end && !(best && best->mr >= wanted); t++)
        if (t->nr == nr && t->mr <= m)
            best = t;
    return best;
}

/* Vectors of the next tile of a row that has this many to come. */
static inline size_t pe_acc_vectors(size_t m, size_t left)
{
    if (m == 1 && left >= PE_ACC_ROW)
        return PE_ACC_ROW;
    if (left == PE_ACC_NR + 1) /* in halves */
        return (left + 1) / 2;
    return left < PE_ACC_NR ? left : PE_ACC_NR;
}

/* c[m, n] by tiles. A sum is only split into calls, so it doesn't matter which tile makes it. */
static inline void pe_acc_product(const pe_acc_job *j, size_t m, size_t n, const float *a, const float *b, float *c)
{
    for (size_t at = 0, width; at < n; at += width) {
        const size_t nr = pe_acc_vectors(m, (n - at + PE_LANES - 1) / PE_LANES);
        width = n - at < nr * PE_LANES ? n - at : nr * PE_LANES;
        const size_t last = width - (nr - 1) * PE_LANES;
        for (size_t i = 0; i < m;) {
            const struct pe_acc_entry *tile = pe_acc_tile_for(m - i, nr);
            for (; m - i >= tile->mr; i += tile->mr)
                tile->run(j, a + i * j->a_m, b + at, c + i * j->c_m + at, last);
        }
    }
}
#endif
