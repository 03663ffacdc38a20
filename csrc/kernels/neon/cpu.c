#include "kernels/neon/cpu.h"

#include <sys/auxv.h>

#include "kernels/cpu.h"

#include "pyedge.h"

/* What Linux says of this CPU, in the bits of its asm/hwcap.h; older headers don't know them all. */
uint32_t pe_cpu_features(void)
{
    const unsigned long hwcap = getauxval(AT_HWCAP), hwcap2 = getauxval(AT_HWCAP2);
    const struct {
        unsigned long has;
        uint32_t feature;
    } bits[] = {
        {hwcap & 1ul << 1, PE_CPU_NEON},     /* HWCAP_ASIMD */
        {hwcap & 1ul << 10, PE_CPU_FP16},    /* HWCAP_ASIMDHP */
        {hwcap & 1ul << 20, PE_CPU_DOTPROD}, /* HWCAP_ASIMDDP */
        {hwcap & 1ul << 23, PE_CPU_FHM},     /* HWCAP_ASIMDFHM */
        {hwcap2 & 1ul << 13, PE_CPU_I8MM},   /* HWCAP2_I8MM */
    };
    uint32_t features = 0;
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++)
        features |= bits[i].has ? bits[i].feature : 0;
    return features;
}

bool pe_neon_is_cortex_a53(void)
{
    if (!(getauxval(AT_HWCAP) & 1ul << 11)) /* HWCAP_CPUID: Linux answers for the register */
        return false;
    uint64_t midr;
    __asm__("mrs %0, midr_el1" : "=r"(midr));
    return (midr >> 24 & 0xff) == 0x41 && (midr >> 4 & 0xfff) == 0xd03; /* Arm's part */
}
