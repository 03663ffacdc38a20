#include "kernels/layers.h"

#include "kernels/kernels_list.h"

#define PE_LAYER_DECLARE(name, arch, op) extern const pe_layer pe_layer_##name##__##arch;
#define PE_LAYER_LISTED(name, arch, op) {PE_NEEDS_##arch, &pe_layer_##name##__##arch},
PE_LAYERS(PE_LAYER_DECLARE)

const pe_listed_layer pe_layers[] = {PE_LAYERS(PE_LAYER_LISTED){0, NULL}};

const pe_layer *pe_layer_for(uint16_t kind, uint32_t features, const pe_call *c, pe_layer_bytes *bytes)
{
    for (const pe_listed_layer *l = pe_layers; l->layer; l++) {
        *bytes = (pe_layer_bytes){0};
        if ((features & l->needs) == l->needs && l->layer->kind == kind && l->layer->takes(c, bytes))
            return l->layer;
    }
    return NULL;
}
