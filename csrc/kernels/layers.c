#include "kernels/layers.h"

#include "kernels/kernels_list.h"

/* From the highest level down, so that each level's layers are those from its first to the end. */
#ifdef PE_WITH_X86
#define PE_X86(x) x
#else
#define PE_X86(x)
#endif

#define PE_LAYER_DECLARE(name, arch, op) extern const pe_layer pe_layer_##name##__##arch;
#define PE_LAYER_ADDRESS(name, arch, op) &pe_layer_##name##__##arch,
#define PE_LAYER_COUNT(name, arch, op) +1
PE_X86(PE_LAYERS_AVX512(PE_LAYER_DECLARE))
PE_X86(PE_LAYERS_AVX2(PE_LAYER_DECLARE))

static const pe_layer *const layers[] = {PE_X86(PE_LAYERS_AVX512(PE_LAYER_ADDRESS))
                                             PE_X86(PE_LAYERS_AVX2(PE_LAYER_ADDRESS)) NULL};
enum {
    AVX512_LAYERS = 0 PE_X86(PE_LAYERS_AVX512(PE_LAYER_COUNT)),
    AVX2_LAYERS = 0 PE_X86(PE_LAYERS_AVX2(PE_LAYER_COUNT)),
};

const pe_layer *const *pe_layers_best(uint32_t features)
{
    const pe_layer *const *first = layers;
    if ((features & PE_ISA_AVX512) == PE_ISA_AVX512)
        return first;
    first += AVX512_LAYERS;
    if ((features & PE_ISA_AVX2) == PE_ISA_AVX2)
        return first;
    return first + AVX2_LAYERS;
}
