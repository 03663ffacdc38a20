/* Instructions of one run of each entry of a plan, op by op: network PLAN [FEATURES], under QEMU with the plugin icount.c.
 *
 * FEATURES: the bits of kernels/cpu.h that kernels may use; those of the CPU without it. Input is all zeros. */
#include <inttypes.h>
#include <string.h>

#include "icount.h"
#include "ops/ops.h"
#include "pyedge.h"

static uint64_t now(void *count)
{
    return *(const volatile uint64_t *)count;
}

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void *aligned(size_t bytes)
{
    void *p = aligned_alloc(PE_PLAN_ALIGN, (bytes + PE_PLAN_ALIGN - 1) / PE_PLAN_ALIGN * PE_PLAN_ALIGN);
    if (!p)
        fail("out of memory");
    return memset(p, 0, bytes);
}

static uint8_t *read_plan(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        fail("cannot read the plan");
    *bytes = (size_t)ftell(file);
    uint8_t *plan = aligned(*bytes);
    rewind(file);
    if (fread(plan, 1, *bytes, file) != *bytes)
        fail("cannot read the plan");
    fclose(file);
    return plan;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        fail("usage: network PLAN [FEATURES]");
    const uint32_t features = pe_cpu_features() & (argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 0) : UINT32_MAX);
    const volatile uint64_t *count = icount_open();
    size_t bytes;
    const uint8_t *plan = read_plan(argv[1], &bytes);
    pe_error error;
    if (pe_plan_verify(plan, bytes, 0, &error) != PE_OK)
        fail(error.text);
    pe_pack *pack = aligned(pe_pack_bytes(plan, features));
    pe_pack_init(pack, plan, features);
    const size_t arena_bytes = pe_pack_arena_bytes(pack);
    pe_session session;
    pe_session_init_packed(&session, pack, aligned(arena_bytes), arena_bytes);
    const pe_plan_header *header = (const pe_plan_header *)plan;
    const uint32_t ops = header->ops.bytes / sizeof(pe_op);
    uint64_t *counts = aligned(ops * sizeof *counts);
    const pe_profile profile = {now, (void *)(uintptr_t)count, counts};
    for (uint32_t entry = 0; entry < pe_entry_count(&session); entry++) {
        pe_run(&session, entry, NULL);
        const uint64_t before = *count;
        pe_run(&session, entry, NULL);
        const uint64_t total = *count - before;
        pe_run(&session, entry, &profile);
        const uint32_t first = pe_entry_at(&session, entry)->first_op;
        for (uint32_t i = first; i < first + pe_entry_at(&session, entry)->op_count; i++) {
            const pe_op *op = (const pe_op *)(plan + header->ops.offset) + i;
            const char *layer = pe_pack_layer(pack, i);
            const pe_tensor *y =
                pe_tensor_at(&session, ((const uint32_t *)(plan + header->index.offset))[op->tensors + op->inputs]);
            printf("%3" PRIu32 " %-20s %-22s [%d, %d, %d, %d] %10" PRIu64 "\n", i,
                   pe_plan_string(&session, op->kind_name), layer ? layer : "", (int)y->dims[0], (int)y->dims[1],
                   (int)y->dims[2], (int)y->dims[3], counts[i]);
        }
        printf("total %" PRIu64 "\n", total);
    }
    return 0;
}
