#include "tensorlite.cuh"
#include "activation.cuh"

constexpr int WARPS = 8;

// A cotangent of 0 gives 0, whatever the slope there is.
template <class Activation, class T> __device__ inline acc<T> masked_gradient(acc<T> g, acc<T> z) {
    const acc<T> d = Activation::template gradient<T>(g, z);
    return d != d && g == acc<T>(0) ? acc<T>(0) : d;
}

template <class A, class B> constexpr bool same = false;
template <class A> constexpr bool same<A, A> = true;

// dx = gradient(g, saved + b), and its sums over rows. The host takes the n numbers as rows of `period`, some whole rows of
// `columns` together, so that a row is a whole number of packs and fills warps. A block has a strip of 32 packs of columns and each
// `parts`-th group of rows; each thread keeps its columns' bias and sums in registers. partial: (parts, period).
template <class T, class Activation>
__device__ inline void backward(T* dx, acc<T>* partial, const T* g, const T* saved, const T* b, i64 n, i64 columns, i64 rows,
                                i64 period, i64 parts) {
    typedef acc<T> A;
    constexpr bool writes = !same<Activation, act_none>, biased = !Activation::from_output;
    constexpr int width = pack<T>::size;
    __shared__ A room[WARPS][width][32];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const u32 strips = gridDim.x / (u32)parts, part = blockIdx.x / strips;
    const i64 column = ((i64)(blockIdx.x - part * strips) * 32 + lane) * width, step = parts * WARPS;
    const int mine = column >= period ? 0 : period - column < width ? (int)(period - column) : width;
    A bias[width], sum[width];
    i64 c = biased && b ? column % columns : 0;
#pragma unroll
    for (int k = 0; k < width; k++) {
        bias[k] = biased && b && k < mine ? load(b[c]) : A(0);
        sum[k] = A(0);
        c = c + 1 == columns ? 0 : c + 1;
    }
    const i64 across = period / width, place = column / width;
    const bool vector = mine == width && aligned16(dx, g, saved) && (period % width == 0 || rows == 1);
    const i64 whole = !vector ? 0 : rows * period == n ? rows : rows - 1;
    i64 row = (i64)part * WARPS + warp;
#pragma unroll 2
    for (; row < whole; row += step) {
        const i64 at = (row * across + place) * width;   // else the compiler takes the 16-byte store apart
        const pack<T> given = load16(g + at), kept = load16(saved + at);
        pack<T> result;
#pragma unroll
        for (int k = 0; k < width; k++) {
            const A z = load(kept.at[k]), d = masked_gradient<Activation, T>(load(given.at[k]), biased ? z + bias[k] : z);
            sum[k] += d;
            result.at[k] = rounded<T>(d);
        }
        if constexpr (writes) store16(dx + at, result);
    }
    for (; row < rows; row += step) {   // what is not aligned, and the last row if it is not complete
#pragma unroll
        for (int k = 0; k < width; k++) {
            const i64 at = row * period + column + k;
            if (k < mine && at < n) {
                const A z = load(saved[at]), d = masked_gradient<Activation, T>(load(g[at]), biased ? z + bias[k] : z);
                sum[k] += d;
                if constexpr (writes) dx[at] = rounded<T>(d);
            }
        }
    }
    if (!partial) return;
#pragma unroll
    for (int k = 0; k < width; k++) room[warp][k][lane] = sum[k];
    __syncthreads();
    for (int k = warp; k < width; k += WARPS) {
        A total = A(0);
#pragma unroll
        for (int w = 0; w < WARPS; w++) total += room[w][k][lane];
        if (column + k < period) partial[part * period + column + k] = total;
    }
}

#define ENTRY(suffix, T)                                                                                                  \
    extern "C" __global__ void __launch_bounds__(256, 3) bias_activation_backward_##suffix(                               \
        T* dx, acc<T>* partial, const T* g, const T* saved, const T* b, i64 n, i64 columns, i64 rows, i64 period,         \
        i64 parts) {                                                                                                      \
        backward<T, ACTIVATION>(dx, partial, g, saved, b, n, columns, rows, period, parts);                               \
    }
ENTRIES(ENTRY)
