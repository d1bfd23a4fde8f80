#include "tensorlite.cuh"

#define ENTRY(suffix, T)                                                                                                  \
    extern "C" __global__ void sigmoid_backward_##suffix(T* dx, const T* g, const T* y, i64 n) {                          \
        map_elements(dx, n, [](acc<T> g, acc<T> y) { return g * y * (acc<T>(1) - y); }, g, y);                            \
    }
ENTRIES(ENTRY)
