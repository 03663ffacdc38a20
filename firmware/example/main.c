/* A plan in your own firmware: csrc/ and a C array, no link, no store, no host tool. Runs the plan's first entry once on a
 * ramp and prints the first output as hex. Board: QEMU virt; only print() and quit() know it. */
#include "pyedge.h"

static const _Alignas(PE_PLAN_ALIGN) unsigned char plan[] = {
#include "plan.inc" /* xxd -i < model.pedge > plan.inc */
};
static _Alignas(PE_ARENA_ALIGN) unsigned char arena[ARENA_BYTES]; /* pyedge inspect model.pedge says how much */

static void print(const char *text)
{
    while (*text)
        *(volatile unsigned char *)0x10000000 = (unsigned char)*text++; /* QEMU's 16550 is always ready */
}

static _Noreturn void quit(int failed)
{
    *(volatile unsigned *)0x100000 = failed ? 0x13333 : 0x5555; /* QEMU's test device: exit code 1 or 0 */
    for (;;) {
    }
}

_Noreturn void firmware_main(void); /* where firmware/port/riscv/start.S goes; yours may be main() */
_Noreturn void firmware_main(void)
{
    pe_error err;
    pe_session session;
    if (pe_plan_verify(plan, sizeof plan, 0, &err)) {
        print(err.text);
        quit(1);
    }
    if (pe_session_init(&session, plan, arena, sizeof arena)) {
        print("the arena is too small");
        quit(1);
    }
    const pe_tensor *input = pe_tensor_at(&session, pe_entry_input_tensor(&session, 0, 0));
    unsigned char *x = pe_tensor_data(&session, pe_entry_input_tensor(&session, 0, 0));
    for (uint32_t i = 0; i < input->bytes; i++)
        x[i] = (unsigned char)i;

    pe_run(&session, 0, NULL);

    const pe_tensor *output = pe_tensor_at(&session, pe_entry_output_tensor(&session, 0, 0));
    const unsigned char *y = pe_tensor_data(&session, pe_entry_output_tensor(&session, 0, 0));
    for (uint32_t i = 0; i < output->bytes; i++) {
        const char hex[] = {"0123456789abcdef"[y[i] >> 4], "0123456789abcdef"[y[i] & 15], 0};
        print(hex);
    }
    print("\n");
    quit(0);
}

_Noreturn void riscv_trap(void); /* where start.S goes on an exception */
_Noreturn void riscv_trap(void)
{
    print("trap");
    quit(1);
}
