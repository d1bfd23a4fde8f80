#include "tensorlite.cuh"
#include "moments.cuh"

// A row stays in the registers of `group` threads: read once, mean and then squared deviations from there, written once (if not
// `whole`, it is read again, from the cache). Blocks of several groups take as many rows at a time. A row too long for a block
// comes in slices of `columns`, blockIdx.x says which, and its moments in `parts` of `length` elements each.
template <class T, class W, int packs, bool whole> __device__ __forceinline__ void rows(
    T* y, acc<T>* mean, acc<T>* var, const T* x, const W* w, const W* b, const acc<T>* parts, i64 length, i64 n, i64 m, int group,
    i64 columns, acc<T> eps, bool center)
{
    typedef acc<T> A;
    constexpr int width = pack<T>::size, rounds = whole ? packs : 1;   // how often loops over packs are unrolled
    __shared__ A shared[32];
    const int slots = blockDim.x / group, slot = threadIdx.x / group, lane = threadIdx.x & 31, t = threadIdx.x % group;
    const i64 first = blockIdx.x * columns, count = parts ? (m + length - 1) / length : 0;
    const int here = (int)min(columns, m - first);
    for (i64 top = (i64)blockIdx.y * slots; top < n; top += (i64)gridDim.y * slots) {
        const i64 i = top + slot;
        lanes<width, whole> l = {t, group, i < n ? here : 0};
        l.forget();
        const T* row = x + i * m + first;
        pack<T> held[packs];
        if (whole)
#pragma unroll
            for (int p = 0; p < packs; p++) l.forget(), held[p] = take(l, row, p);
        const auto again = [&](int p) { return whole ? held[p] : take(l, row, p); };
        A middle = A(0), square = A(0);
        if (packs == 8 && parts) {
            moments<A> own = {};
            for (i64 q = lane; q < count; q += 32) {
                const A* part = parts + 2 * (i * count + q);
                own = own + moments<A>{A(min(length, m - q * length)), part[0], part[1]};
            }
            own = lane_sum(own, 32);
            middle = center ? own.mean : A(0);
            square = own.square / A(m) + (center ? A(0) : own.mean * own.mean);
        } else {
            if (center) {
#pragma unroll rounds
                for (int p = 0; p < packs; p++) {
                    const pack<T> values = again(p);   // 0 where there is none
#pragma unroll
                    for (int k = 0; k < width; k++) middle += load(values.at[k]);
                    l.forget();
                }
                middle = group_sum(middle, group, shared) / A(m);
#pragma unroll
                for (int p = 0; p < packs; p++) settle(held[p]);
            }
#pragma unroll rounds
            for (int p = 0; p < packs; p++) {
                const pack<T> values = again(p);
#pragma unroll
                for (int k = 0; k < width; k++) {
                    const A d = l.has(p, k) ? load(values.at[k]) - middle : A(0);
                    square += d * d;
                }
                l.forget();
            }
            square = group_sum(square, group, shared) / A(m);
#pragma unroll
            for (int p = 0; p < packs; p++) settle(held[p]);
        }
        const A r = inverse_root(square + eps);
        if (i < n && first == 0 && t == 0) mean[i] = middle, var[i] = square;
#pragma unroll rounds
        for (int p = 0; p < packs; p++) {
            l.forget();
            A scale[width], shift[width];
            widen(scale, l, w ? w + first : w, p, A(1));
            widen(shift, l, b ? b + first : b, p, A(0));
            pack<T> out = again(p);
#pragma unroll
            for (int k = 0; k < width; k++) out.at[k] = rounded<T>((load(out.at[k]) - middle) * r * scale[k] + shift[k]);
            give(l, y + i * m + first, p, out);
        }
    }
}

#define ROWS(name, packs, threads, blocks)                                                                                \
    extern "C" __global__ void __launch_bounds__(threads, blocks) ENTRY(name)(                                            \
        element* y, wide* mean, wide* var, const element* x, const weight* w, const weight* b, const wide* parts,         \
        i64 length, i64 n, i64 m, i64 group, i64 columns, double eps, i64 center)                                         \
    {                                                                                                                     \
        if (m % pack<element>::size == 0 && aligned16(x, y, w, b))                                                        \
            rows<element, weight, packs, true>(y, mean, var, x, w, b, parts, length, n, m, group, columns, eps, center);  \
        else rows<element, weight, packs, false>(y, mean, var, x, w, b, parts, length, n, m, group, columns, eps, center); \
    }
ROWS(row_normalize_1, 1, 128, 10)
ROWS(row_normalize_4, 4, 128, 4)
ROWS(row_normalize_8, 8, 384, 1)

// parts[i, p] = mean and sum of squared deviations of elements [p length, (p + 1) length) of row i; block (p, i).
template <class T> __device__ __forceinline__ void row_parts(acc<T>* parts, const T* x, i64 n, i64 m, i64 length)
{
    typedef acc<T> A;
    constexpr int width = pack<T>::size;
    __shared__ moments<A> shared[32];
    const i64 first = blockIdx.x * length, last = min(first + length, m);
    const bool whole = m % width == 0 && length % width == 0 && aligned16(x);
    for (i64 i = blockIdx.y; i < n; i += gridDim.y) {
        const T* row = x + i * m;
        moments<A> own;
        if (whole) own = thread_moments<T, width>(first / width, last / width, [&](i64 q) { return row + q * width; });
        else own = thread_moments<T, 1>(first, last, [&](i64 q) { return row + q; });
        own = group_sum(own, blockDim.x, shared);
        if (threadIdx.x == 0) {
            parts[2 * (i * gridDim.x + blockIdx.x)] = own.mean;
            parts[2 * (i * gridDim.x + blockIdx.x) + 1] = own.square;
        }
    }
}
extern "C" __global__ void __launch_bounds__(256) ENTRY(row_normalize_parts)(
    wide* parts, const element* x, i64 n, i64 m, i64 length) { row_parts(parts, x, n, m, length); }
