/* The kernel in plain C, for whatever the compiler aims at. */
#include "operator.h"

#define NAMED(name) name##_portable
#define KERNEL_NAME "portable"
#include "kernel.inc"

const hw_kernel *hw_kernel_portable(void) { return &kernel_portable; }
