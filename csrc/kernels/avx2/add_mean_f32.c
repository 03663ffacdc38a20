#include "kernels/x86/add_mean_f32.h"
