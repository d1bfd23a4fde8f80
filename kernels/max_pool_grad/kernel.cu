#include "tensorlite.cuh"
#include "moments.cuh"

// out is (n, D, H, W, inner), g and index (n, OD, OH, OW, inner). Of an axis' elements, the first window each can be in, and
// behind them where those windows end.
struct axis { const i64* ranges; i64 size, count; };

template <class T, int width> __device__ __forceinline__ void elements(
    T* out, const T* g, const int* index, axis d, axis h, axis w, i64 inner, i64 total)
{
    for (i64 i = thread_index(); i < total / width; i += thread_count()) {
        const quotient_rest c = divided(i * width, inner), o = divided(c.quotient, w.size), p = divided(o.quotient, h.size),
                            q = divided(p.quotient, d.size);
        const i64 d1 = d.ranges[d.size + q.rest], h1 = h.ranges[h.size + p.rest], w1 = w.ranges[w.size + o.rest];
        const int place = (int)((q.rest * h.size + p.rest) * w.size + o.rest);
        acc<T> sum[width] = {};
        for (i64 a = d.ranges[q.rest]; a < d1; a++)
            for (i64 b = h.ranges[p.rest]; b < h1; b++)
                for (i64 j = w.ranges[o.rest]; j < w1; j++) {
                    const i64 at = (((q.quotient * d.count + a) * h.count + b) * w.count + j) * inner + c.rest;
                    pack<T> values;
                    if constexpr (width == 1) values.at[0] = g[at];
                    else values = load16(g + at);
#pragma unroll
                    for (int k = 0; k < width; k++)
                        if (index[at + k] == place) sum[k] += load(values.at[k]);
                }
        pack<T> result;
#pragma unroll
        for (int k = 0; k < width; k++) result.at[k] = rounded<T>(sum[k]);
        if constexpr (width == 1) out[i] = result.at[0];
        else store16(out + i * width, result);
    }
}

#define MAX_POOL_GRAD(suffix, T)                                                                                              \
    extern "C" __global__ void __launch_bounds__(256) max_pool_grad_##suffix(                                                 \
        T* out, const T* g, const int* index, const i64* dr, const i64* hr, const i64* wr, i64 D, i64 H, i64 W,               \
        i64 OD, i64 OH, i64 OW, i64 inner, i64 total)                                                                         \
    {                                                                                                                         \
        const axis d = {dr, D, OD}, h = {hr, H, OH}, w = {wr, W, OW};                                                         \
        if (inner % pack<T>::size == 0 && aligned16(out, g))                                                                  \
            elements<T, pack<T>::size>(out, g, index, d, h, w, inner, total);                                                 \
        else elements<T, 1>(out, g, index, d, h, w, inner, total);                                                            \
    }
ENTRIES(MAX_POOL_GRAD)
