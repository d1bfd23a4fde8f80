#include "tensorlite.cuh"
#include "moments.cuh"

// x is (n, D, H, W, inner), out and index (n, OD, OH, OW, inner). Of an axis' windows, `starts` and behind them as many lengths.
struct axis { const i64* starts; i64 step, size, count; };

template <class T, int width> __device__ __forceinline__ void windows(
    T* out, int* index, const T* x, axis d, axis h, axis w, i64 inner, i64 total)
{
    for (i64 i = thread_index(); i < total / width; i += thread_count()) {
        const quotient_rest c = divided(i * width, inner), o = divided(c.quotient, w.count), p = divided(o.quotient, h.count),
                            q = divided(p.quotient, d.count);
        const i64 d0 = d.starts[q.rest], h0 = h.starts[p.rest], w0 = w.starts[o.rest];
        const i64 dn = d.starts[d.count + q.rest], hn = h.starts[h.count + p.rest], wn = w.starts[w.count + o.rest];
        const T* plane = x + q.quotient * d.size * h.size * w.size * inner + c.rest;
        pack<T> best;
        int where[width];
        bool fresh = true;
        for (i64 a = 0; a < dn; a++)
            for (i64 b = 0; b < hn; b++)
                for (i64 j = 0; j < wn; j++) {
                    const i64 place = ((d0 + a * d.step) * h.size + h0 + b * h.step) * w.size + w0 + j * w.step;
                    pack<T> found;
                    if constexpr (width == 1) found.at[0] = plane[place * inner];
                    else found = load16(plane + place * inner);
#pragma unroll
                    for (int k = 0; k < width; k++) {
                        const acc<T> v = load(found.at[k]);
                        if (fresh || v > load(best.at[k]) || v != v) best.at[k] = found.at[k], where[k] = (int)place;
                    }
                    fresh = false;
                }
        if constexpr (width == 1) out[i] = best.at[0];
        else store16(out + i * width, best);
#pragma unroll
        for (int k = 0; k < width; k++) index[i * width + k] = where[k];
    }
}

#define MAX_POOL(suffix, T)                                                                                                   \
    extern "C" __global__ void __launch_bounds__(256) max_pool_##suffix(                                                      \
        T* out, int* index, const T* x, const i64* ds, const i64* hs, const i64* ws, i64 dstep, i64 hstep, i64 wstep,         \
        i64 D, i64 H, i64 W, i64 OD, i64 OH, i64 OW, i64 inner, i64 total)                                                    \
    {                                                                                                                         \
        const axis d = {ds, dstep, D, OD}, h = {hs, hstep, H, OH}, w = {ws, wstep, W, OW};                                    \
        if (inner % pack<T>::size == 0 && aligned16(out, x)) windows<T, pack<T>::size>(out, index, x, d, h, w, inner, total);  \
        else windows<T, 1>(out, index, x, d, h, w, inner, total);                                                             \
    }
ENTRIES(MAX_POOL)
