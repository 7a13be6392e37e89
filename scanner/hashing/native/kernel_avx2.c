/* The kernel for AVX2 (Intel Haswell and later, AMD Zen and later). */
#include "operator.h"

#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#endif

#define NAMED(name) name##_avx2
#define KERNEL_NAME "avx2"
#include "kernel.inc"

#if defined(__clang__)
#pragma clang attribute pop
#endif

const hw_kernel *hw_kernel_avx2(void) { return __builtin_cpu_supports("avx2") ? &kernel_avx2 : NULL; }

#else

const hw_kernel *hw_kernel_avx2(void) { return NULL; }

#endif
