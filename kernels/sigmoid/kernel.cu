#include "tensorlite.cuh"
#include "activation.cuh"

#define ENTRY(suffix, T)                                                                                                  \
    extern "C" __global__ void sigmoid_##suffix(T* out, const T* x, i64 n) {                                              \
        map_elements(out, n, [](acc<T> x) { return act_sigmoid::value<T>(x); }, x);                                       \
    }
ENTRIES(ENTRY)
