#include "cortexm.h"

#include "port.h"

/* Armv7-M Architecture Reference Manual, B3.2.2 and B3.4. */
enum {
    NVIC_ISER = 0xE000E100,
    NVIC_ICPR = 0xE000E280,
    ICSR = 0xE000ED04,
    AIRCR = 0xE000ED0C,
    CFSR = 0xE000ED28,
    BFAR = 0xE000ED38
};
enum { RESET_REQUEST = 0x05FA0004 };

extern uint32_t __stack_low[], __stack_top[];

void cortexm_enable(uint32_t interrupt)
{
    R32(NVIC_ISER + interrupt / 32 * 4) = 1u << interrupt % 32;
}

void cortexm_wait(void)
{
    __asm__ volatile("dsb\n wfi" ::: "memory");
}

void cortexm_clear(uint32_t interrupt)
{
    R32(NVIC_ICPR + interrupt / 32 * 4) = 1u << interrupt % 32;
}

_Noreturn void cortexm_reset(void)
{
    __asm__ volatile("dsb" ::: "memory");
    R32(AIRCR) = RESET_REQUEST;
    for (;;) {
    }
}

static void print(const char *label, uint32_t value)
{
    while (*label)
        port_tx((const uint8_t *)label++, 1);
    for (int shift = 28; shift >= 0; shift -= 4)
        port_tx((const uint8_t *)"0123456789abcdef" + (value >> shift & 15), 1);
}

_Noreturn void cortexm_fault(const uint32_t *frame)
{
    enum { FRAME_PC = 6, FRAME_WORDS = 8 };
    static const uint8_t end_mark = 0;
    const uintptr_t at = (uintptr_t)frame; /* outside the stack after an overflow: then there is no frame */
    const int whole = at >= (uintptr_t)__stack_low && at + FRAME_WORDS * sizeof *frame <= (uintptr_t)__stack_top;
    port_tx(&end_mark, 1);
    print("fault: exception ", R32(ICSR) & 0x1FF);
    print(" pc ", whole ? frame[FRAME_PC] : 0);
    print(" cfsr ", R32(CFSR));
    print(" bfar ", R32(BFAR));
    port_tx((const uint8_t *)"\r\n", 3); /* with the 0, an end mark again */
    port_reset();
}
