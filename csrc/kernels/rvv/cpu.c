#include "kernels/cpu.h"

#include "pyedge.h"

static long system_call(long number, long first, long second, long third, long fourth, long fifth)
{
    register long a7 __asm__("a7") = number;
    register long a0 __asm__("a0") = first;
    register long a1 __asm__("a1") = second;
    register long a2 __asm__("a2") = third;
    register long a3 __asm__("a3") = fourth;
    register long a4 __asm__("a4") = fifth;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4) : "memory");
    return a0;
}

/* Linux, by system calls that C libraries only lately have: riscv_hwprobe (6.4) tells RVV 1.0, where the V of AT_HWCAP may be
 * 0.7 of a vendor's kernel; prctl whether this process may use it, which an administrator can deny. */
uint32_t pe_cpu_features(void)
{
    enum { SYS_PRCTL = 167, SYS_HWPROBE = 258, PR_RISCV_V_GET_CONTROL = 70, V_STATE = 3, V_OFF = 1 };
    enum { KEY_IMA_EXT_0 = 4, IMA_V = 1 << 2, IMA_ZVFH = 1 << 30 };
    struct {
        int64_t key;
        uint64_t value;
    } probe = {KEY_IMA_EXT_0, 0};
    if (system_call(SYS_HWPROBE, (long)(uintptr_t)&probe, 1, 0, 0, 0) != 0 || !(probe.value & IMA_V))
        return 0;
    const long control = system_call(SYS_PRCTL, PR_RISCV_V_GET_CONTROL, 0, 0, 0, 0);
    return control >= 0 && (control & V_STATE) == V_OFF ? 0 : PE_CPU_RVV | (probe.value & IMA_ZVFH ? PE_CPU_ZVFH : 0);
}
