/* The kernel for 64-bit ARM, where NEON is always there: the compiler makes vectors of plain C. */
#include "operator.h"

#if defined(__aarch64__)

#define NAMED(name) name##_neon
#define KERNEL_NAME "neon"
#include "kernel.inc"

const hw_kernel *hw_kernel_neon(void) { return &kernel_neon; }

#else

const hw_kernel *hw_kernel_neon(void) { return NULL; }

#endif
