/* The kernel for AVX-512 with BW and DQ (Intel Skylake-X and later, AMD Zen 4 and later). */
#include "operator.h"

#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#endif

#define NAMED(name) name##_avx512
#define KERNEL_NAME "avx512"
#include "kernel.inc"

#if defined(__clang__)
#pragma clang attribute pop
#endif

const hw_kernel *hw_kernel_avx512(void)
{
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
               ? &kernel_avx512
               : NULL;
}

#else

const hw_kernel *hw_kernel_avx512(void) { return NULL; }

#endif
