#include "kernels/x86/depthwise_f16.h"
