#include "tensorlite.cuh"
#include "moments.cuh"

// x is (n, D, H, W, inner), out (n, OD, OH, OW, inner). Element i of an axis is the sum over the taps first[i] <= k < first[i + 1].
struct axis { const i64* first; const i64* index; const double* weight; i64 size, count; };

template <class T, int width> __device__ __forceinline__ void sums(T* out, const T* x, axis d, axis h, axis w, i64 inner, i64 total)
{
    typedef acc<T> A;
    for (i64 i = thread_index(); i < total / width; i += thread_count()) {
        const quotient_rest c = divided(i * width, inner), o = divided(c.quotient, w.count), p = divided(o.quotient, h.count),
                            q = divided(p.quotient, d.count);
        const T* plane = x + q.quotient * d.size * h.size * w.size * inner + c.rest;
        A sum[width] = {};
        for (i64 a = d.first[q.rest]; a < d.first[q.rest + 1]; a++)
            for (i64 b = h.first[p.rest]; b < h.first[p.rest + 1]; b++) {
                const T* row = plane + (d.index[a] * h.size + h.index[b]) * w.size * inner;
                const A of_row = A(d.weight[a]) * A(h.weight[b]);
                for (i64 j = w.first[o.rest]; j < w.first[o.rest + 1]; j++) {
                    const A weight = of_row * A(w.weight[j]);
                    pack<T> values;
                    if constexpr (width == 1) values.at[0] = row[w.index[j] * inner];
                    else values = load16(row + w.index[j] * inner);
#pragma unroll
                    for (int k = 0; k < width; k++) sum[k] += weight * load(values.at[k]);
                }
            }
        pack<T> result;
#pragma unroll
        for (int k = 0; k < width; k++) result.at[k] = rounded<T>(sum[k]);
        if constexpr (width == 1) out[i] = result.at[0];
        else store16(out + i * width, result);
    }
}

#define RESAMPLE(suffix, T)                                                                                                   \
    extern "C" __global__ void __launch_bounds__(256) resample_##suffix(                                                      \
        T* out, const T* x, const i64* df, const i64* di, const double* dw, const i64* hf, const i64* hi, const double* hw,   \
        const i64* wf, const i64* wi, const double* ww, i64 D, i64 H, i64 W, i64 OD, i64 OH, i64 OW, i64 inner, i64 total)    \
    {                                                                                                                         \
        const axis d = {df, di, dw, D, OD}, h = {hf, hi, hw, H, OH}, w = {wf, wi, ww, W, OW};                                 \
        if (inner % pack<T>::size == 0 && aligned16(out, x)) sums<T, pack<T>::size>(out, x, d, h, w, inner, total);            \
        else sums<T, 1>(out, x, d, h, w, inner, total);                                                                       \
    }
ENTRIES(RESAMPLE)
