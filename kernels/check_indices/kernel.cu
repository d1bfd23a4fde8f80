#include "tensorlite.cuh"

template <class I> __device__ void check(const I* indices, i64 n, i64 low, i64 high, i64* fault, i64 kind) {
    for (i64 i = thread_index(); i < n; i += thread_count()) {
        const i64 index = (i64)indices[i];
        if (index < low || index >= high) report(fault, kind, index, i, high);
    }
}

#define ENTRY(suffix, I)                                                                                                  \
    extern "C" __global__ void check_indices_##suffix(const I* indices, i64 n, i64 low, i64 high, i64* fault, i64 kind) { \
        check(indices, n, low, high, fault, kind);                                                                        \
    }
ENTRY(i32, int)
ENTRY(i64, i64)
