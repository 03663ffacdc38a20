#include "kernels/x86/conv2d_f16.h"
