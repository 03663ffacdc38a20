/* linear_f16 and conv2d_f16 of arm64: windows of x are copied to a panel, in the type and order in which micro-kernels take
 * them, and a micro-kernel multiplies tiles of 8 windows by blocks of NR channels. A level and a mode give it theirs. */
#ifndef PE_NEON_GEMM_F16_H
#define PE_NEON_GEMM_F16_H
#include "kernels/layers.h"

/* sums[m][n] = bias[n] + sum over k of x[m, k] * w[n, k], in the order and with the roundings of the mode
 *
 * k      a multiple of 8; what is added to reach it are products of +0 and -0, which change no sum, -0 neither
 * x      [k / lanes][8][lanes]: float16, lanes = 8, or float, lanes = 4; rows from m on are not read
 * w      [blocks][k][NR] of float16, or what widen made of a block; block: bytes from block to block
 * bias   float [blocks][NR]
 * sums   float [m][blocks * NR], stride bytes from row to row; overlaps nothing
 *
 * m and the number of blocks belong to the kernel. It may read 128 bytes past x and w. */
typedef void pe_gemm_panel_fn(size_t k, const void *x, const void *w, size_t block, const float *bias, float *sums,
                              size_t stride);

enum {
    PE_PANEL_ROWS = 8,   /* the largest m */
    PE_PANEL_BLOCKS = 4, /* of the kernel for one row */
};

typedef struct pe_gemm_panels {
    uint8_t lanes; /* of x: 8 float16, 4 float */
    uint8_t nr;    /* 8, 16 */
    /* Makes of n float16 weights what eight takes; NULL: it takes them as they are, as the others do. */
    void (*widen)(const uint16_t *from, size_t n, float *to);
    pe_gemm_panel_fn *eight, *four, *two, *one; /* m, with one block */
    pe_gemm_panel_fn *one_by_four;              /* m = 1 with PE_PANEL_BLOCKS blocks */
} pe_gemm_panels;

/* The functions of a pe_layer. The caller has looked at mode and types. */
bool pe_neon_panels_takes(const pe_call *c, const pe_gemm_panels *p, pe_layer_bytes *bytes);
void pe_neon_panels_pack(const pe_call *c, const pe_gemm_panels *p, void *packed);
void pe_neon_panels_run(const void *packed, uint8_t *arena, uint8_t *work);

/* pe_rounding of a linear_f16 or conv2d_f16. */
static inline int32_t pe_f16_mode(const pe_call *c)
{
    return c->tensor[1]->rank == 2 ? ((const pe_linear_params *)c->params)->rounding
                                   : ((const pe_conv2d_params *)c->params)->rounding;
}

/* For a level whose file has tile(k, x, w, block, bias, sums, stride, rows, blocks): the kernels of fewer rows than eight, and
 * how its pe_gemm_panels names them. */
#define PE_PANEL_TILE(name, M, BLOCKS)                                                                     \
    static void name(size_t k, const void *x, const void *w, size_t block, const float *bias, float *sums, \
                     size_t stride)                                                                        \
    {                                                                                                      \
        tile(k, x, w, block, bias, sums, stride, M, BLOCKS);                                               \
    }
#define PE_PANEL_TILES        \
    PE_PANEL_TILE(four, 4, 1) \
    PE_PANEL_TILE(two, 2, 1)  \
    PE_PANEL_TILE(one, 1, 1)  \
    PE_PANEL_TILE(one_by_four, 1, PE_PANEL_BLOCKS)
#define PE_PANEL_TILE_MEMBERS .four = four, .two = two, .one = one, .one_by_four = one_by_four

/* The layers of a level; `condition`: which calls c they take. The file has panels and pack, too. */
#define PE_PANEL_LAYERS(condition, level)                                                                \
    static bool takes(const pe_call *c, pe_layer_bytes *bytes)                                           \
    {                                                                                                    \
        return (condition) && pe_neon_panels_takes(c, &panels, bytes);                                   \
    }                                                                                                    \
    const pe_layer pe_layer_conv2d_f16__##level = {PE_OP_CONV2D_F16, "conv2d_f16__" #level, takes, pack, \
                                                   pe_neon_panels_run};                                  \
    const pe_layer pe_layer_linear_f16__##level = {PE_OP_LINEAR_F16, "linear_f16__" #level, takes, pack, \
                                                   pe_neon_panels_run};
#endif
