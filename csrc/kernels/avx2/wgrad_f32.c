#include "kernels/x86/wgrad_f32.h"
