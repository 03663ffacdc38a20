#include "kernels/layers.h"

#include "kernels/kernels_list.h"

#ifdef PE_WITH_X86
#define PE_X86(x) x
#else
#define PE_X86(x)
#endif
#ifdef PE_WITH_ARM64
#define PE_ARM64(x) x
#else
#define PE_ARM64(x)
#endif

#define PE_LAYER_DECLARE(name, arch, op) extern const pe_layer pe_layer_##name##__##arch;
#define PE_LAYER_ADDRESS(name, arch, op) &pe_layer_##name##__##arch,
#define PE_LAYER_COUNT(name, arch, op) +1
PE_X86(PE_LAYERS_AVX512(PE_LAYER_DECLARE) PE_LAYERS_AVX2(PE_LAYER_DECLARE))
PE_ARM64(PE_LAYERS_DOTPROD(PE_LAYER_DECLARE) PE_LAYERS_NEON(PE_LAYER_DECLARE))

/* From the highest level down, so that each level's layers are those from its first to the end. */
static const pe_layer *const layers[] = {PE_X86(PE_LAYERS_AVX512(PE_LAYER_ADDRESS) PE_LAYERS_AVX2(
    PE_LAYER_ADDRESS)) PE_ARM64(PE_LAYERS_DOTPROD(PE_LAYER_ADDRESS) PE_LAYERS_NEON(PE_LAYER_ADDRESS)) NULL};
enum {
    AVX512_END = 0 PE_X86(PE_LAYERS_AVX512(PE_LAYER_COUNT)),
    AVX2_END = AVX512_END PE_X86(PE_LAYERS_AVX2(PE_LAYER_COUNT)),
    DOTPROD_END = AVX2_END PE_ARM64(PE_LAYERS_DOTPROD(PE_LAYER_COUNT)),
    NEON_END = DOTPROD_END PE_ARM64(PE_LAYERS_NEON(PE_LAYER_COUNT)),
};

const pe_layer *const *pe_layers_best(uint32_t features)
{
    if ((features & PE_ISA_AVX512) == PE_ISA_AVX512)
        return layers;
    if ((features & PE_ISA_AVX2) == PE_ISA_AVX2)
        return layers + AVX512_END;
    if ((features & PE_ISA_DOTPROD) == PE_ISA_DOTPROD)
        return layers + AVX2_END;
    if ((features & PE_ISA_NEON) == PE_ISA_NEON)
        return layers + DOTPROD_END;
    return layers + NEON_END;
}
