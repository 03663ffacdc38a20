#include "kernels/x86/conv2d_f32.h"
