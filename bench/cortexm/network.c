/* Instructions of one inference of a plan, op by op, on a bare Cortex-M4 (QEMU mps2-an386, -icount shift=6: an instruction is
 * 1.6 ticks of the board's counter). Input is all zeros. */
#include "ops/ops.h"

#define ARENA_BYTES (1024 * 1024)
#define MOST_OPS 256
#define REGISTER(address) (*(volatile uint32_t *)(address))

extern const uint8_t plan[], plan_end[]; /* plan.S */
void exit_emulator(int failed);          /* start.S */
static _Alignas(16) uint8_t arena[ARENA_BYTES];
static uint64_t counts[MOST_OPS];

static void put(char c)
{
    REGISTER(0x40004000) = (uint8_t)c;
}

static void text(const char *s, int width)
{
    for (; *s; s++, width--)
        put(*s);
    for (; width > 0; width--)
        put(' ');
}

static void number(uint32_t n)
{
    char digits[10];
    int i = 0;
    do
        digits[i++] = (char)('0' + n % 10);
    while (n /= 10);
    for (int width = 10; width > i; width--)
        put(' ');
    while (i)
        put(digits[--i]);
    put('\n');
}

void trap(void)
{
    text("fault\n", 0);
    exit_emulator(1);
}

static uint64_t now(void *context)
{
    (void)context;
    return REGISTER(0x40028018) * 5ull / 8; /* FPGAIO COUNTER; one inference takes less than its 32 bits */
}

int main(void)
{
    const pe_plan_header *header = (const pe_plan_header *)plan;
    const uint32_t ops = header->ops.bytes / sizeof(pe_op);
    pe_session session;
    pe_error error;
    REGISTER(0x40004010) = 16; /* UART: any rate */
    REGISTER(0x40004008) = 1;
    REGISTER(0x4002801C) = 0; /* PRESCALE: a tick each clock */
    if (ops > MOST_OPS || pe_plan_verify(plan, (size_t)(plan_end - plan), 0, &error) != PE_OK ||
        pe_session_init(&session, plan, arena, sizeof arena) != PE_OK) {
        text("no valid plan, or too large for this bench\n", 0);
        exit_emulator(1);
    }
    const pe_profile profile = {now, NULL, counts};
    const uint32_t before = (uint32_t)now(NULL);
    pe_run(&session, 0, &profile);
    const uint32_t total = (uint32_t)now(NULL) - before;
    for (uint32_t i = 0; i < ops; i++) {
        const pe_op *op = (const pe_op *)(plan + header->ops.offset) + i;
        text(pe_plan_string(&session, op->kind_name), 20);
        number((uint32_t)counts[i]);
    }
    text("total", 20);
    number(total);
    exit_emulator(0);
    return 0;
}
