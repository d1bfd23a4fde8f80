#include "tensorlite.cuh"

// db[c] = the sum over rows of partial (rows, columns): a block has up to 32 columns and divides the rows among its threads.
template <class T> __device__ inline void sum_rows(T* db, const acc<T>* partial, i64 rows, i64 columns) {
    typedef acc<T> A;
    __shared__ A room[256];
    int across = 32;
    while (across > 1 && across / 2 >= columns) across /= 2;
    const int place = threadIdx.x, group = place / across, groups = 256 / across;
    const i64 c = (i64)blockIdx.x * across + place % across;
    A sum = A(0);
    if (c < columns) {
#pragma unroll 4
        for (i64 r = group; r < rows; r += groups) sum += partial[r * columns + c];
    }
    room[place] = sum;
    __syncthreads();
    for (int step = groups / 2; step; step /= 2) {
        if (group < step) room[place] += room[place + step * across];
        __syncthreads();
    }
    if (group == 0 && c < columns) db[c] = rounded<T>(room[place]);
}

#define SUM_ENTRY(suffix, T)                                                                                              \
    extern "C" __global__ void __launch_bounds__(256) bias_activation_backward_sum_##suffix(                              \
        T* db, const acc<T>* partial, i64 rows, i64 columns) {                                                            \
        sum_rows(db, partial, rows, columns);                                                                             \
    }
ENTRIES(SUM_ENTRY)
