#include "kernels/x86/pack_f32.h"

/* linear_f32 of one row of x by weights that learn: each is used once, so they are turned in registers as they are read. */

typedef struct layer {
    pe_place w, bias;
    size_t x, y, n, k; /* in the arena; outputs, and inputs of each */
    bool has_bias;
    pe_clip clip;
} layer;

#define BLOCK (2 * PE_LANES) /* outputs at once */

static pe_layer_part_fn run_part;

static bool takes(const pe_call *c, pe_layer_bytes *bytes)
{
    const pe_linear_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1];
    bytes->packed = sizeof(layer);
    bytes->part = w->bytes / sizeof(float) >= PE_MACS_TO_SPLIT ? run_part : NULL;
    return pe_in_arena(x) && pe_in_arena(w) && x->dims[0] == 1 && pe_clip_fits(&(pe_clip){p->f_min, p->f_max});
}

static void pack(const pe_call *c, void *packed)
{
    const pe_linear_params *p = c->params;
    *(layer *)packed = (layer){.w = pe_place_of(c, 1),
                               .bias = pe_place_of(c, 2),
                               .x = c->tensor[0]->offset,
                               .y = c->tensor[c->inputs]->offset,
                               .n = (size_t)c->tensor[1]->dims[0],
                               .k = (size_t)c->tensor[1]->dims[1],
                               .has_bias = c->inputs > 2 && c->tensor[2],
                               .clip = {p->f_min, p->f_max}};
}

/* n outputs, at most V vectors. w: the weights of the first; bias: or NULL. */
PE_INLINE void outputs(const layer *l, const float *x, const float *w, const float *bias, size_t n, float *y,
                       const int V)
{
    const pe_clip_v clip = pe_clip_all(&l->clip);
    const float *rows[BLOCK];
    pe_f32v sum[2];
    for (size_t i = 0; i < (size_t)V * PE_LANES; i++)
        rows[i] = w + (i < n ? i : 0) * l->k; /* lanes behind n are not stored */
    const size_t last = n - (size_t)(V - 1) * PE_LANES;
    PE_FOR (v, V) {
        sum[v] = pe_f32v_all(0);
        if (bias)
            sum[v] = v < V - 1 ? pe_f32v_load(bias + PE_LANES * v) : pe_f32v_load_first(bias + PE_LANES * v, last);
    }
    size_t k = 0;
    for (; k + 4 <= l->k; k += 4)
        PE_FOR (v, V) {
            pe_f32v column[4];
            PE_FOR (i, 4)
                column[i] = pe_fours(rows + v * PE_LANES, i, k);
            pe_turn_fours(column);
            PE_FOR (i, 4)
                sum[v] = pe_f32v_fma(pe_f32v_all(x[k + (size_t)i]), column[i], sum[v]);
        }
    for (; k < l->k; k++)
        PE_FOR (v, V) {
            float column[PE_LANES];
            PE_FOR (i, PE_LANES)
                column[i] = rows[v * PE_LANES + i][k];
            sum[v] = pe_f32v_fma(pe_f32v_all(x[k]), pe_f32v_load(column), sum[v]);
        }
    PE_FOR (v, V) {
        const pe_f32v clipped = pe_f32v_clip(sum[v], &clip);
        if (v < V - 1)
            pe_f32v_store(y + PE_LANES * v, clipped);
        else
            pe_f32v_store_first(y + PE_LANES * v, clipped, last);
    }
}

static void run_part(const void *packed, uint8_t *arena, uint8_t *work, uint32_t part, uint32_t parts)
{
    const layer *l = packed;
    const float *x = (const float *)(arena + l->x), *w = pe_place_at(&l->w, arena);
    const float *bias = l->has_bias ? pe_place_at(&l->bias, arena) : NULL;
    float *y = (float *)(arena + l->y);
    const int32_t blocks = (int32_t)((l->n + BLOCK - 1) / BLOCK);
    (void)work;
    for (int32_t b = pe_share(blocks, part, parts); b < pe_share(blocks, part + 1, parts); b++) {
        const size_t first = (size_t)b * BLOCK, n = l->n - first < BLOCK ? l->n - first : BLOCK;
        const float *from = w + first * l->k, *start = bias ? bias + first : NULL;
        if (n > PE_LANES)
            outputs(l, x, from, start, n, y + first, 2);
        else
            outputs(l, x, from, start, n, y + first, 1);
    }
}

static void run(const void *packed, uint8_t *arena, uint8_t *work)
{
    run_part(packed, arena, work, 0, 1);
}

const pe_layer PE_LEVEL(pe_layer_linear_row_f32) = {PE_OP_LINEAR_F32, PE_LEVEL_NAME(linear_row_f32), takes, pack, run};
