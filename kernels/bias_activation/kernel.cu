#include "tensorlite.cuh"
#include "activation.cuh"

__device__ inline i64 remainder_of(i64 a, i64 b) {   // a 64-bit remainder takes five times as long
    return (a | b) >> 32 ? a % b : (i64)((u32)a % (u32)b);
}

// out = f(x + b), b for each place of rows of `columns`; a thread's column moves on by the same step each time.
template <class T, class F> __device__ inline void map_with_bias(T* out, const T* x, const T* b, i64 n, i64 columns, F f) {
    constexpr int width = pack<T>::size;
    const i64 packs = aligned16(out, x) ? n / width : 0, step = remainder_of(thread_count() * width, columns);
    const bool whole = columns % width == 0 && aligned16(b);
    i64 column = remainder_of(thread_index() * width, columns);
    for (i64 i = thread_index(); i < packs; i += thread_count()) {
        pack<T> values = load16(x + i * width), bias;
        if (whole) {
            bias = load16(b + column);
        } else {
            i64 c = column;
#pragma unroll
            for (int k = 0; k < width; k++) {
                bias.at[k] = b[c];
                c = c + 1 == columns ? 0 : c + 1;
            }
        }
#pragma unroll
        for (int k = 0; k < width; k++) values.at[k] = rounded<T>(f(load(values.at[k]) + load(bias.at[k])));
        store16(out + i * width, values);
        column += step;
        column -= column >= columns ? columns : 0;
    }
    for (i64 i = packs * width + thread_index(); i < n; i += thread_count())
        out[i] = rounded<T>(f(load(x[i]) + load(b[remainder_of(i, columns)])));
}

#define ENTRY(suffix, T)                                                                                                  \
    extern "C" __global__ void bias_activation_##suffix(T* out, const T* x, const T* b, i64 n, i64 columns) {             \
        auto f = [](acc<T> z) { return ACTIVATION::value<T>(z); };                                                        \
        if (b) map_with_bias(out, x, b, n, columns, f);                                                                   \
        else map_elements(out, n, f, x);                                                                                  \
    }
ENTRIES(ENTRY)
