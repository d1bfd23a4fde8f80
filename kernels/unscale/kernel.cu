#include "tensorlite.cuh"
#include "lists.cuh"

// a <- a * factor where it is to be written; whether an element is inf or nan.
template <class T> __device__ inline bool unscale_part(i64 address, part at, double factor, bool write) {
    typedef acc<T> A;
    T* p = global<T>(address);
    const A by = A(factor);
    bool bad = false;
    over_part<16 / sizeof(T)>(at, aligned16(p), [&](i64 i, auto elements) {
        constexpr int W = decltype(elements)::width;
        A values[W];
        fetch<W>(values, p + i);
#pragma unroll
        for (int k = 0; k < W; k++) {
            bad = bad || values[k] - values[k] != 0;
            values[k] *= by;
        }
        if (write) put<W>(p + i, values);
    });
    return bad;
}

// scratch: ticket, number of blocks that met inf or nan. found: null, or where 1 is written if there was one, else 0.
extern "C" __global__ void __launch_bounds__(256) unscale(const i64* list, i64 n, const i64* places, i64 chunk, const void* scale,
                                                          i64 scale_bytes, float* found, i64* scratch, i64 write) {
    const double factor = scale_bytes == 8 ? 1.0 / *(const double*)scale : inverse((const float*)scale);
    if (factor == 1.0) write = 0;
    if (!write && !found) return;
    const part at = part_of_block(list, n, places, chunk);
    const i64 address = list[at.array], kind = list[n + at.array];
    bool bad;
    if (kind == F32) bad = unscale_part<float>(address, at, factor, write);
    else if (kind == F16) bad = unscale_part<f16>(address, at, factor, write);
    else if (kind == BF16) bad = unscale_part<bf16>(address, at, factor, write);
    else bad = unscale_part<double>(address, at, factor, write);
    if (!found) return;
    __shared__ int shared[33];
    bad = block_reduce((int)bad, 0, shared, largest());
    if (bad && threadIdx.x == 0) atomicAdd((u64*)scratch + 1, 1ull);
    if (comes_last(scratch) && threadIdx.x == 0) {
        volatile i64* count = scratch + 1;
        *found = *count != 0 ? 1.0f : 0.0f;
        *count = 0;
    }
}
