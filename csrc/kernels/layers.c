#include "kernels/layers.h"

#include "kernels/kernels_list.h"

#define PE_LAYER_DECLARE(name, arch, op) extern const pe_layer pe_layer_##name##__##arch;
#define PE_LAYER_LISTED(name, arch, op) {PE_NEEDS_##arch, &pe_layer_##name##__##arch},
PE_LAYERS(PE_LAYER_DECLARE)

const pe_listed_layer pe_layers[] = {PE_LAYERS(PE_LAYER_LISTED){0, NULL}};
