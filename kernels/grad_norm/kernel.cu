#include "tensorlite.cuh"
#include "lists.cuh"

// Sums of squares that neither overflow nor vanish: of small, usual and big numbers apart (Blue 1978).
struct squares {
    double small, usual, big;
    __device__ void add(double x) {
        const double size = fabs(x);
        if (size > 1e150) big += (x * 0x1p-600) * (x * 0x1p-600);
        else if (size < 1e-150) small += (x * 0x1p600) * (x * 0x1p600);
        else usual += x * x;
    }
    __device__ void reduce(double* shared) {
        small = block_reduce(small, 0.0, shared, plus());
        usual = block_reduce(usual, 0.0, shared, plus());
        big = block_reduce(big, 0.0, shared, plus());
    }
    __device__ double norm() const {
        if (big != 0) return sqrt(big + usual * 0x1p-600 * 0x1p-600) * 0x1p600;
        return usual != 0 ? sqrt(usual) : sqrt(small) * 0x1p-600;
    }
};

template <class T> __device__ inline void add_part(i64 address, part at, squares& sums) {
    const T* p = global<const T>(address);
    over_part<16 / sizeof(T)>(at, aligned16(p), [&](i64 i, auto elements) {
        constexpr int W = decltype(elements)::width;
        acc<T> values[W];
        fetch<W>(values, p + i);
#pragma unroll
        for (int k = 0; k < W; k++) {
            if constexpr (sizeof(T) == 8) sums.add(values[k]);
            else sums.usual += (double)values[k] * (double)values[k];   // squares of float32 are in float64's range
        }
    });
}

// out: the norm, and what to divide by so that it is max_norm at most (1 where it is). scratch: ticket, and each block's sums.
extern "C" __global__ void __launch_bounds__(256) grad_norm(const i64* list, i64 n, const i64* places, i64 chunk, double* out,
                                                            i64* scratch, double max_norm) {
    const part at = part_of_block(list, n, places, chunk);
    const i64 address = list[at.array], kind = list[n + at.array];
    squares sums = {0, 0, 0};
    if (kind == F32) add_part<float>(address, at, sums);
    else if (kind == F16) add_part<f16>(address, at, sums);
    else if (kind == BF16) add_part<bf16>(address, at, sums);
    else add_part<double>(address, at, sums);
    __shared__ double shared[33];
    sums.reduce(shared);
    double* parts = (double*)(scratch + 2);
    if (threadIdx.x == 0) {
        parts[3 * blockIdx.x] = sums.small;
        parts[3 * blockIdx.x + 1] = sums.usual;
        parts[3 * blockIdx.x + 2] = sums.big;
    }
    if (!comes_last(scratch)) return;
    const volatile double* all = parts;
    sums = {0, 0, 0};
    for (i64 b = threadIdx.x; b < gridDim.x; b += blockDim.x) {
        sums.small += all[3 * b];
        sums.usual += all[3 * b + 1];
        sums.big += all[3 * b + 2];
    }
    sums.reduce(shared);
    if (threadIdx.x == 0) {
        const double norm = sums.norm(), scale = (norm + 1e-6) / max_norm;
        out[0] = norm;
        out[1] = scale > 1.0 || scale != scale ? scale : 1.0;
    }
}
