#include "kernels/x86/training.h"
