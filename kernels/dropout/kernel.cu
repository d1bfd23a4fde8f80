#include "tensorlite.cuh"
#include "philox.cuh"

// Element i is kept where word i mod 4 of block offset + i div 4 is at most `last`. A thread has 16 bytes, or in double 32, so
// that it has whole blocks.
template <class T>
__device__ inline void dropout(T* out, const T* x, i64 n, i64 seed, i64 stream, i64 offset, i64 last, double factor) {
    constexpr int width = pack<T>::size, packs = width < 4 ? 4 / width : 1, unit = packs * width;
    const acc<T> scale = (acc<T>)factor;
    const bool vector = aligned16(out, x);
    for (i64 i = thread_index(); i * unit < n; i += thread_count()) {
        const i64 at = i * unit;
        const bool whole = vector && at + unit <= n;
        pack<T> values[packs];
        if (whole) {
#pragma unroll
            for (int j = 0; j < packs; j++) values[j] = load16(x + at + j * width);
        } else {
#pragma unroll
            for (int k = 0; k < unit; k++)
                if (at + k < n) values[k / width].at[k % width] = x[at + k];
        }
#pragma unroll
        for (int b = 0; b < unit / 4; b++) {
            const words w = philox((u64)offset + (u64)i * (unit / 4) + b, stream, seed);
#pragma unroll
            for (int k = 0; k < 4; k++) {
                T& value = values[(4 * b + k) / width].at[(4 * b + k) % width];
                value = rounded<T>(w.at[k] <= (u32)last ? load(value) * scale : acc<T>(0));
            }
        }
        if (whole) {
#pragma unroll
            for (int j = 0; j < packs; j++) store16(out + at + j * width, values[j]);
        } else {
#pragma unroll
            for (int k = 0; k < unit; k++)
                if (at + k < n) out[at + k] = values[k / width].at[k % width];
        }
    }
}

#define ENTRY(suffix, T)                                                                                                  \
    extern "C" __global__ void dropout_##suffix(T* out, const T* x, i64 n, i64 seed, i64 stream, i64 offset, i64 last,    \
                                                double factor) {                                                          \
        dropout(out, x, n, seed, stream, offset, last, factor);                                                           \
    }
ENTRIES(ENTRY)
