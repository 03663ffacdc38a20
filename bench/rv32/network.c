/* Instructions of one inference of a plan, op by op, on a bare rv32 core (QEMU virt, -icount shift=0). Input is all zeros. */
#include "board.h"
#include "ops/ops.h"

#define ARENA_BYTES (1024 * 1024)
#define MOST_OPS 256

extern const uint8_t plan[], plan_end[]; /* plan.S */
static _Alignas(16) uint8_t arena[ARENA_BYTES];
static uint64_t counts[MOST_OPS];

void trap(void)
{
    text("trap\n", 0);
    exit_emulator(1);
}

static uint64_t now(void *context)
{
    (void)context;
    return instructions();
}

int main(void)
{
    const pe_plan_header *header = (const pe_plan_header *)plan;
    const uint32_t ops = header->ops.bytes / sizeof(pe_op);
    pe_session session;
    pe_error error;
    if (ops > MOST_OPS || pe_plan_verify(plan, (size_t)(plan_end - plan), 0, &error) != PE_OK ||
        pe_session_init(&session, plan, arena, sizeof arena) != PE_OK) {
        text("no valid plan, or too large for this bench\n", 0);
        exit_emulator(1);
    }
    const pe_profile profile = {now, NULL, counts};
    uint32_t before = instructions();
    pe_run(&session, 0, &profile);
    uint32_t total = instructions() - before;
    for (uint32_t i = 0; i < ops; i++) {
        const pe_op *op = (const pe_op *)(plan + header->ops.offset) + i;
        text(pe_plan_string(&session, op->kind_name), 20);
        number((uint32_t)counts[i], 10);
        put('\n');
    }
    text("total", 20);
    number(total, 10);
    put('\n');
    exit_emulator(0);
    return 0;
}
