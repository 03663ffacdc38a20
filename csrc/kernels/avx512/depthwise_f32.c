#include "kernels/x86/depthwise_f32.h"
