#include "kernels/kernels.h"
#include "ops/check.h"
#include "ops/ops.h"

/* The verifier. It trusts nothing but plan_bytes: every offset is compared in 64 bits before it is used, and nothing is
 * read that an earlier step has not placed inside the file. What passes is executed without further checks, so each rule
 * here is what some kernel relies on. Entries have no more than PE_MAX_ENTRIES, so the time is linear in the plan's size. */

typedef struct view {
    const uint8_t *base;
    const pe_plan_header *header;
    const pe_tensor *tensors;
    const pe_op *ops;
    const pe_entry *entries;
    const uint32_t *index;
    const uint8_t *params;
    const char *strings;
    uint32_t tensor_count, op_count, entry_count, index_count;
    pe_error *err;
} view;

static pe_status refuse(const view *v, pe_status status, uint32_t op, uint32_t tensor, const char *text)
{
    *v->err = (pe_error){status, op, tensor, text};
    return status;
}

static bool inside(uint64_t offset, uint64_t bytes, uint64_t limit)
{
    return offset <= limit && bytes <= limit - offset;
}

static bool overlap(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes)
{
    return a_bytes != 0 && a < b + b_bytes && b < a + a_bytes;
}

/* PE_NONE is a valid name: none. */
static bool is_string(const view *v, uint32_t offset)
{
    return offset == PE_NONE || offset < v->header->strings.bytes;
}

static pe_status check_header(view *v, size_t plan_bytes, unsigned flags)
{
    const pe_plan_header *h = v->header;
    if ((uintptr_t)h % PE_ARENA_ALIGN != 0)
        return refuse(v, PE_ERR_ALIGN, PE_NONE, PE_NONE, "the plan's address is not a multiple of 16");
    if (plan_bytes < sizeof *h)
        return refuse(v, PE_ERR_TRUNCATED, PE_NONE, PE_NONE, "shorter than a header");
    if (h->magic != PE_PLAN_MAGIC)
        return refuse(v, PE_ERR_MAGIC, PE_NONE, PE_NONE, "not a plan");
    if (h->major != PE_PLAN_MAJOR)
        return refuse(v, PE_ERR_VERSION, PE_NONE, PE_NONE, "another major version of the format");
    if (h->file_bytes > plan_bytes)
        return refuse(v, PE_ERR_TRUNCATED, PE_NONE, PE_NONE, "fewer bytes than the header says");
    if (h->file_bytes < sizeof *h || h->file_bytes > PE_MAX_EXTENT)
        return refuse(v, PE_ERR_SECTION, PE_NONE, PE_NONE, "file_bytes");
    if (!(flags & PE_VERIFY_SKIP_CRC) && pe_crc32(0, v->base + 16, h->file_bytes - 16) != h->crc32)
        return refuse(v, PE_ERR_CRC, PE_NONE, PE_NONE, "CRC-32");
    if (h->layout > PE_LAYOUT_INTERLEAVED_ROWS)
        return refuse(v, PE_ERR_LAYOUT, PE_NONE, PE_NONE, "unknown layout of constants");
    if (!(flags & PE_VERIFY_ANY_LAYOUT) && !pe_kernels_take(h->layout))
        return refuse(v, PE_ERR_LAYOUT, PE_NONE, PE_NONE, "constants for the kernels of another board");
    if (h->arena_bytes > PE_MAX_EXTENT || h->scratch_bytes > h->arena_bytes || h->state_bytes > h->arena_bytes)
        return refuse(v, PE_ERR_SECTION, PE_NONE, PE_NONE, "arena_bytes, scratch_bytes or state_bytes");
    return PE_OK;
}

static pe_status check_sections(view *v)
{
    const pe_plan_header *h = v->header;
    /* Size of one record, alignment of the offset and name, of each section from h->tensors on. */
    static const struct {
        uint8_t record, align;
        const char *name;
    } kind[] = {
        {sizeof(pe_tensor), 4, "section tensors"},
        {sizeof(pe_op), 4, "section ops"},
        {sizeof(pe_entry), 4, "section entries"},
        {sizeof(uint32_t), 4, "section index"},
        {4, 4, "section params"},
        {1, 4, "section strings"},
        {1, 4, "section meta"},
        {1, 4, "section signature"},
        {1, PE_PLAN_ALIGN, "section consts"},
    };
    const pe_section *s = &h->tensors;
    for (uint32_t i = 0; i < sizeof kind / sizeof kind[0]; i++) {
        if (s[i].offset % kind[i].align != 0 || s[i].bytes % kind[i].record != 0 ||
            !inside(s[i].offset, s[i].bytes, h->file_bytes) || (s[i].bytes != 0 && s[i].offset < sizeof *h))
            return refuse(v, PE_ERR_SECTION, PE_NONE, PE_NONE, kind[i].name);
    }
    v->tensors = (const pe_tensor *)(v->base + h->tensors.offset);
    v->tensor_count = h->tensors.bytes / sizeof(pe_tensor);
    v->ops = (const pe_op *)(v->base + h->ops.offset);
    v->op_count = h->ops.bytes / sizeof(pe_op);
    v->entries = (const pe_entry *)(v->base + h->entries.offset);
    v->entry_count = h->entries.bytes / sizeof(pe_entry);
    v->index = (const uint32_t *)(v->base + h->index.offset);
    v->index_count = h->index.bytes / sizeof(uint32_t);
    v->params = v->base + h->params.offset;
    v->strings = (const char *)(v->base + h->strings.offset);
    /* With a NUL at the end, every string that starts inside ends inside. */
    if (h->strings.bytes != 0 && v->strings[h->strings.bytes - 1] != '\0')
        return refuse(v, PE_ERR_STRING, PE_NONE, PE_NONE, "the strings do not end with NUL");
    return PE_OK;
}

const char *pe_tensor_fault(const pe_tensor *t)
{
    if (t->dtype < PE_F32 || t->dtype > PE_BF16)
        return "unknown dtype";
    if (t->rank > PE_MAX_RANK)
        return "rank";
    uint64_t bytes = 1u << pe_dtype_shift(t->dtype);
    for (uint32_t i = 0; i < PE_MAX_RANK; i++) {
        if (t->dims[i] < 1 || (i >= t->rank && t->dims[i] != 1))
            return "dims";
        bytes *= (uint32_t)t->dims[i]; /* below 2^30 * 2^31 */
        if (bytes > PE_MAX_EXTENT)
            return "larger than 2^30 bytes";
    }
    return bytes == t->bytes ? NULL : "bytes are not the product of dims and dtype";
}

static pe_status check_tensor(const view *v, uint32_t number)
{
    const pe_tensor *t = &v->tensors[number];
    const char *fault = pe_tensor_fault(t);
    if (fault)
        return refuse(v, PE_ERR_TENSOR, PE_NONE, number, fault);
    if (t->kind < PE_TENSOR_ARENA || t->kind > PE_TENSOR_STATE)
        return refuse(v, PE_ERR_TENSOR, PE_NONE, number, "unknown kind of place");
    if (t->layout != PE_LAYOUT_CANONICAL && (t->layout != v->header->layout || t->kind != PE_TENSOR_CONST))
        return refuse(v, PE_ERR_LAYOUT, PE_NONE, number, "the layout is not that of the plan's constants");
    uint32_t limit = t->kind == PE_TENSOR_ARENA   ? v->header->arena_bytes
                     : t->kind == PE_TENSOR_STATE ? v->header->state_bytes
                                                  : v->header->consts.bytes;
    if (t->offset % PE_ARENA_ALIGN != 0 || !inside(t->offset, t->bytes, limit))
        return refuse(v, PE_ERR_TENSOR, PE_NONE, number, "offset");
    if (t->kind == PE_TENSOR_ARENA && t->offset < v->header->state_bytes)
        return refuse(v, PE_ERR_TENSOR, PE_NONE, number, "it lies where only states may");
    if (!pe_is_finite(t->scale) || pe_float_bits(t->scale) >> 31)
        return refuse(v, PE_ERR_TENSOR, PE_NONE, number, "scale");
    if (t->dtype == PE_S8 && (t->zero_point < -128 || t->zero_point > 127))
        return refuse(v, PE_ERR_TENSOR, PE_NONE, number, "zero_point");
    return is_string(v, t->name) ? PE_OK : refuse(v, PE_ERR_STRING, PE_NONE, number, "name of a tensor");
}

pe_status pe_op_check(const pe_op_def *def, const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    *text = "the numbers of inputs and outputs";
    if (c->inputs < def->min_inputs || c->inputs > def->max_inputs || (c->outputs != def->outputs && !def->open))
        return PE_ERR_OP;
    *text = "an input or output is absent";
    for (uint32_t i = 0; i < (uint32_t)c->inputs + c->outputs; i++) {
        if (!c->tensor[i] && (i >= c->inputs || !(def->optional >> i & 1)))
            return PE_ERR_OP;
    }
    *text = "a constant in a layout that the op does not take";
    for (uint32_t i = 0; i < (uint32_t)c->inputs + c->outputs; i++) {
        if (c->tensor[i] && c->tensor[i]->layout && !(i < c->inputs && def->packed >> i & 1))
            return PE_ERR_LAYOUT;
    }
    *text = "params_bytes";
    if (def->open ? c->params_bytes < def->params_bytes : c->params_bytes != def->params_bytes)
        return PE_ERR_OP;
    *text = "tensors or params that do not fit together";
    *scratch_bytes = 0;
    return def->check(c, scratch_bytes, text);
}

static pe_status check_op(const view *v, uint32_t number)
{
    const pe_op *op = &v->ops[number];
    if (!is_string(v, op->name) || !is_string(v, op->kind_name))
        return refuse(v, PE_ERR_STRING, number, PE_NONE, "name of an op");
    const pe_op_def *def = pe_op_find(op->kind);
    if (!def)
        return refuse(v, PE_ERR_UNKNOWN_OP, number, PE_NONE,
                      op->kind_name == PE_NONE ? "an op without a name" : v->strings + op->kind_name);
    uint32_t count = (uint32_t)op->inputs + op->outputs;
    if (count > PE_MAX_OP_TENSORS || !inside(op->tensors, count, v->index_count))
        return refuse(v, PE_ERR_OP, number, PE_NONE, "its list of tensors");
    if (op->params % 4 != 0 || !inside(op->params, op->params_bytes, v->header->params.bytes))
        return refuse(v, PE_ERR_OP, number, PE_NONE, "params");
    if (op->scratch_offset % PE_ARENA_ALIGN != 0 ||
        !inside(op->scratch_offset, op->scratch_bytes, v->header->arena_bytes))
        return refuse(v, PE_ERR_OP, number, PE_NONE, "scratch lies outside the arena");
    if (overlap(op->scratch_offset, op->scratch_bytes, 0, v->header->state_bytes))
        return refuse(v, PE_ERR_SCRATCH, number, PE_NONE, "scratch lies where only states may");

    pe_call c = {.params = v->params + op->params,
                 .params_bytes = op->params_bytes,
                 .inputs = op->inputs,
                 .outputs = op->outputs,
                 .scratch_bytes = op->scratch_bytes};
    for (uint32_t i = 0; i < count; i++) {
        uint32_t t = v->index[op->tensors + i];
        if (t == PE_NONE)
            continue;
        if (t >= v->tensor_count)
            return refuse(v, PE_ERR_OP, number, PE_NONE, "no tensor of that number");
        c.tensor[i] = &v->tensors[t];
        bool in_arena = c.tensor[i]->kind != PE_TENSOR_CONST;
        if (i >= op->inputs && !in_arena)
            return refuse(v, PE_ERR_OP, number, t, "an output that is a constant");
        /* Kernels may copy between a tensor and their scratch. */
        if (in_arena && overlap(op->scratch_offset, op->scratch_bytes, c.tensor[i]->offset, c.tensor[i]->bytes))
            return refuse(v, PE_ERR_SCRATCH, number, t, "scratch overlaps a tensor of the op");
    }
    uint32_t scratch;
    const char *text;
    pe_status status = pe_op_check(def, &c, &scratch, &text);
    if (status != PE_OK)
        return refuse(v, status, number, PE_NONE, text);
    if (scratch > op->scratch_bytes)
        return refuse(v, PE_ERR_SCRATCH, number, PE_NONE, "less scratch than the op needs");
    if (op->kind == PE_OP_BRANCH) {
        uint32_t target = ((const pe_branch_params *)c.params)->target;
        if (target <= number || target > v->op_count)
            return refuse(v, PE_ERR_BRANCH, number, PE_NONE, "a branch that does not go forward");
    }
    return PE_OK;
}

static pe_status check_entry(const view *v, uint32_t number)
{
    const pe_entry *e = &v->entries[number];
    if (!is_string(v, e->name))
        return refuse(v, PE_ERR_STRING, number, PE_NONE, "name of an entry");
    if (!inside(e->first_op, e->op_count, v->op_count))
        return refuse(v, PE_ERR_ENTRY, number, PE_NONE, "its ops");
    if (!inside(e->inputs, e->input_count, v->index_count) || !inside(e->outputs, e->output_count, v->index_count))
        return refuse(v, PE_ERR_ENTRY, number, PE_NONE, "its list of tensors");
    for (uint32_t i = 0; i < e->input_count; i++) {
        uint32_t t = v->index[e->inputs + i];
        if (t >= v->tensor_count || v->tensors[t].kind != PE_TENSOR_ARENA)
            return refuse(v, PE_ERR_ENTRY, number, t, "an input that is no tensor of the arena");
    }
    for (uint32_t i = 0; i < e->output_count; i++) {
        if (v->index[e->outputs + i] >= v->tensor_count)
            return refuse(v, PE_ERR_ENTRY, number, PE_NONE, "an output that is no tensor");
    }
    for (uint32_t i = e->first_op; i < e->first_op + e->op_count; i++) {
        if (v->ops[i].kind != PE_OP_BRANCH)
            continue;
        const pe_branch_params *p = (const pe_branch_params *)(v->params + v->ops[i].params);
        if (p->target > e->first_op + e->op_count)
            return refuse(v, PE_ERR_BRANCH, i, PE_NONE, "a branch that leaves its entry");
    }
    return PE_OK;
}

/* A plan with states can be reset: an entry of that name writes them and needs nothing. */
static pe_status check_reset(const view *v)
{
    if (v->header->state_bytes == 0)
        return PE_OK;
    const pe_session s = {.plan = v->base};
    int32_t reset = pe_entry_find(&s, PE_RESET_ENTRY);
    if (reset < 0 || v->entries[reset].input_count != 0 || v->entries[reset].output_count != 0)
        return refuse(v, PE_ERR_ENTRY, PE_NONE, PE_NONE,
                      "states without an entry \"reset\" that takes and gives nothing");
    return PE_OK;
}

pe_status pe_plan_verify(const void *plan, size_t plan_bytes, unsigned flags, pe_error *err)
{
    pe_error unused;
    view v = {.base = plan, .header = plan, .err = err ? err : &unused};
    *v.err = (pe_error){PE_OK, PE_NONE, PE_NONE, pe_status_text(PE_OK)};
    pe_status status = check_header(&v, plan_bytes, flags);
    if (status == PE_OK)
        status = check_sections(&v);
    if (status == PE_OK && (v.entry_count < 1 || v.entry_count > PE_MAX_ENTRIES))
        status = refuse(&v, PE_ERR_ENTRY, PE_NONE, PE_NONE, "the number of entries");
    for (uint32_t i = 0; status == PE_OK && i < v.tensor_count; i++)
        status = check_tensor(&v, i);
    for (uint32_t i = 0; status == PE_OK && i < v.op_count; i++)
        status = check_op(&v, i);
    for (uint32_t i = 0; status == PE_OK && i < v.entry_count; i++)
        status = check_entry(&v, i);
    return status == PE_OK ? check_reset(&v) : status;
}
