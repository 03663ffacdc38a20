#include "kernels/kernels.h"
#include "runtime/step.h"

/* The pack buffer: which layer kernel takes over which op of a plan, and the constants in their layouts.
 *
 *     pe_pack | pe_step [op_count] | packed layers, each on PE_PLAN_ALIGN */

static const pe_plan_header *header(const uint8_t *plan)
{
    return (const pe_plan_header *)plan;
}

static size_t align(size_t bytes)
{
    return (bytes + PE_PLAN_ALIGN - 1) / PE_PLAN_ALIGN * PE_PLAN_ALIGN;
}

static uint32_t op_count(const uint8_t *plan)
{
    return header(plan)->ops.bytes / sizeof(pe_op);
}

/* The layer kernel that takes op, and what it needs; NULL if none does. *c: the op, with data of constants alone. */
static const pe_layer *layer_of(const uint8_t *plan, uint32_t features, const pe_op *op, pe_call *c,
                                pe_layer_bytes *bytes)
{
    const pe_plan_header *h = header(plan);
    *c = (pe_call){.params = plan + h->params.offset + op->params, .inputs = op->inputs, .outputs = op->outputs};
    const uint32_t *numbers = (const uint32_t *)(plan + h->index.offset) + op->tensors;
    for (uint32_t i = 0; i < (uint32_t)op->inputs + op->outputs; i++) {
        if (numbers[i] == PE_NONE)
            continue;
        const pe_tensor *t = (const pe_tensor *)(plan + h->tensors.offset) + numbers[i];
        c->tensor[i] = t;
        if (!pe_in_arena(t))
            c->data[i] = (void *)(uintptr_t)(plan + h->consts.offset + t->offset);
    }
    return pe_layer_for(op->kind, features, c, bytes);
}

static size_t first_layer(const uint8_t *plan)
{
    return align(sizeof(pe_pack) + op_count(plan) * sizeof(pe_step));
}

size_t pe_pack_bytes(const void *plan, uint32_t features)
{
    const pe_op *ops = (const pe_op *)((const uint8_t *)plan + header(plan)->ops.offset);
    size_t total = first_layer(plan);
    for (uint32_t i = 0; i < op_count(plan); i++) {
        pe_call c;
        pe_layer_bytes bytes;
        if (layer_of(plan, features, &ops[i], &c, &bytes))
            total += align(bytes.packed);
    }
    return total;
}

pe_status pe_pack_init(pe_pack *pack, const void *plan, uint32_t features)
{
    if ((uintptr_t)pack % PE_PLAN_ALIGN != 0)
        return PE_ERR_ALIGN;
    const pe_op *ops = (const pe_op *)((const uint8_t *)plan + header(plan)->ops.offset);
    pe_step *steps = (pe_step *)(pack + 1);
    uint8_t *to = (uint8_t *)pack + first_layer(plan);
    size_t work = 0;
    for (uint32_t i = 0; i < op_count(plan); i++) {
        pe_call c;
        pe_layer_bytes bytes;
        const pe_layer *layer = layer_of(plan, features, &ops[i], &c, &bytes);
        steps[i] = (pe_step){0};
        if (!layer)
            continue;
        layer->pack(&c, to);
        steps[i] = (pe_step){layer, layer->run, bytes.part, bytes.at, bytes.canonicalize, to};
        to += align(bytes.packed);
        work = bytes.work > work ? bytes.work : work;
    }
    *pack = (pe_pack){.plan = plan, .kernels = pe_kernels_best(features), .work_bytes = align(work)};
    return PE_OK;
}

size_t pe_pack_arena_bytes(const pe_pack *pack)
{
    return align(pe_plan_arena_bytes(pack->plan)) + pack->work_bytes;
}

const char *pe_pack_layer(const pe_pack *pack, uint32_t op)
{
    const pe_step *steps = (const pe_step *)(pack + 1);
    return op < op_count(pack->plan) && steps[op].layer ? steps[op].layer->name : NULL;
}

bool pe_pack_binds(const pe_pack *pack, uint32_t op)
{
    const pe_step *steps = (const pe_step *)(pack + 1);
    return op < op_count(pack->plan) && steps[op].at;
}

pe_status pe_session_init_packed(pe_session *s, const pe_pack *pack, void *arena, size_t arena_bytes)
{
    if (arena_bytes < pe_pack_arena_bytes(pack))
        return PE_ERR_ARENA;
    return pe_session_bind(s, pack->plan, pack->kernels, pack, arena, arena_bytes);
}
