#include "tensorlite.cuh"

#define ENTRY(suffix, T)                                                                                                  \
    extern "C" __global__ void relu_backward_##suffix(T* dx, const T* g, const T* y, i64 n) {                             \
        map_elements(dx, n, [](acc<T> g, acc<T> y) { return y > acc<T>(0) ? g : acc<T>(0); }, g, y);                      \
    }
ENTRIES(ENTRY)
