#include "tensorlite.cuh"
#include "moments.cuh"

// The ways of the forward (channel_normalize/kernel.cu), with sums of g and of g xhat in place of moments.

// What the gradient of an element takes of its channel: gx = (g - level - (x - mean) slope) scale.
template <class A> struct line { A middle, level, slope, scale; };
template <class A, class W> __device__ __forceinline__ line<A> line_of(
    i64 channel, A of_w, A of_b, const A* mean, const A* var, const W* w, A count, A eps, bool center)
{
    const A r = inverse_root(var[channel] + eps);
    return {mean[channel], center ? of_b / count : A(0), of_w / count * r, r * (w ? load(w[channel]) : A(1))};
}
template <class T> __device__ __forceinline__ T gradient(T g, T x, const line<acc<T>>& of) {
    return rounded<T>((load(g) - of.level - (load(x) - of.middle) * of.slope) * of.scale);
}

template <class T, class W, int width> __device__ __forceinline__ void over_planes(
    T* gx, acc<T>* gw, acc<T>* gb, acc<T>* parts, const T* g, const T* x, const W* w, const acc<T>* mean, const acc<T>* var,
    i64 n, i64 c, i64 l, i64 size, i64 count, acc<T> eps, bool center)
{
    typedef acc<T> A;
    constexpr int together = 4;
    __shared__ two<A> shared[32];
    const i64 channel = blockIdx.x / count, part = blockIdx.x % count, per = l / width;
    const i64 first = part * size / width, last = min(first + size / width, n * per);
    const auto place = [&](i64 q) {
        const quotient_rest of = divided(q, per);
        return (of.quotient * c + channel) * l + of.rest * width;
    };
    const auto of_g = [&](i64 q) { return g + place(q); };
    const auto of_x = [&](i64 q) { return x + place(q); };
    const A middle = mean[channel], r = inverse_root(var[channel] + eps);
    two<A> sums = {};
    for (i64 q = first + threadIdx.x; q < last; q += (i64)together * blockDim.x) {
        const batch<T, together, width, decltype(of_g)> gs(q, last, of_g);
        const batch<T, together, width, decltype(of_x)> xs(q, last, of_x);
#pragma unroll
        for (int i = 0; i < together; i++)
            if (i < gs.count)
#pragma unroll
                for (int k = 0; k < width; k++) {
                    const A one = load(gs.held[i].at[k]);
                    sums = sums + two<A>{one, one * ((load(xs.held[i].at[k]) - middle) * r)};
                }
    }
    sums = group_sum(sums, blockDim.x, shared);
    if (count > 1) {
        if (threadIdx.x == 0) parts[2 * (part * c + channel)] = sums.a, parts[2 * (part * c + channel) + 1] = sums.b;
        return;
    }
    if (threadIdx.x == 0) gb[channel] = sums.a, gw[channel] = sums.b;
    const line<A> of = line_of(channel, sums.b, sums.a, mean, var, w, A(n * l), eps, center);
    for (i64 q = threadIdx.x; q < last; q += (i64)together * blockDim.x) {
        const batch<T, together, width, decltype(of_g)> gs(q, last, of_g);
        batch<T, together, width, decltype(of_x)> xs(q, last, of_x);
#pragma unroll
        for (int i = 0; i < together; i++)
            if (i < gs.count) {
                T* to = gx + place(q + (i64)i * blockDim.x);
#pragma unroll
                for (int k = 0; k < width; k++) xs.held[i].at[k] = gradient(gs.held[i].at[k], xs.held[i].at[k], of);
                if constexpr (width == 1) *to = xs.held[i].at[0];
                else store16(to, xs.held[i]);
            }
    }
}

template <class T, class W, bool whole> __device__ __forceinline__ void over_rows(
    T* gx, acc<T>* gw, acc<T>* gb, acc<T>* parts, const T* g, const T* x, const W* w, const acc<T>* mean, const acc<T>* var,
    i64 n, i64 columns, i64 l, i64 size, bool complete, acc<T> eps, bool center)
{
    typedef acc<T> A;
    constexpr int width = pack<T>::size, together = 4, tile = 8 * width;
    __shared__ two<A> shared[16][tile];
    __shared__ line<A> lines[tile];
    const int tx = threadIdx.x & 7, ty = threadIdx.x >> 3, rows = blockDim.x >> 3, warp = threadIdx.x >> 5;
    const i64 left = (i64)blockIdx.x * tile, first = (i64)blockIdx.y * size, last = min(first + size, n);
    const lanes<width, whole> at = {tx, 8, (int)min((i64)tile, columns - left)};
    A middle[width] = {}, r[width] = {};
    two<A> sums[width] = {};
#pragma unroll
    for (int k = 0; k < width; k++)
        if (at.has(0, k)) {
            const i64 channel = l == 1 ? left + at.at(0, k) : (left + at.at(0, k)) / l;
            middle[k] = mean[channel], r[k] = inverse_root(var[channel] + eps);
        }
    g += left, x += left;
    for (i64 top = first + ty; top < last; top += (i64)together * rows) {
        pack<T> gs[together], xs[together];
#pragma unroll
        for (int i = 0; i < together; i++) {
            gs[i] = xs[i] = pack<T>{};
            const i64 start = (top + i * rows) * columns;
            if (top + i * rows < last) gs[i] = take(at, g + start, 0), xs[i] = take(at, x + start, 0);
        }
#pragma unroll
        for (int i = 0; i < together; i++)
            if (top + i * rows < last)
#pragma unroll
                for (int k = 0; k < width; k++) {
                    const A one = load(gs[i].at[k]);
                    sums[k] = sums[k] + two<A>{one, one * ((load(xs[i].at[k]) - middle[k]) * r[k])};
                }
    }
#pragma unroll
    for (int k = 0; k < width; k++) {   // the four threads of a warp that have the same columns
        for (int step = 8; step < 32; step <<= 1) sums[k] = sums[k] + swapped(sums[k], step);
        if ((threadIdx.x & 31) < 8) shared[warp][at.at(0, k)] = sums[k];
    }
    __syncthreads();
    for (int j = threadIdx.x; j < at.length; j += blockDim.x) {
        two<A> all = {};
        for (int i = 0; i < (int)blockDim.x >> 5; i++) all = all + shared[i][j];
        if (complete) {
            gb[left + j] = all.a, gw[left + j] = all.b;
            lines[j] = line_of(left + j, all.b, all.a, mean, var, w, A(n), eps, center);
        } else {
            A* part = parts + 2 * ((i64)blockIdx.y * columns + left + j);
            part[0] = all.a, part[1] = all.b;
        }
    }
    if (!complete) return;
    __syncthreads();
    for (i64 i = ty; i < n; i += rows) {
        const pack<T> one = take(at, g + i * columns, 0);
        pack<T> held = take(at, x + i * columns, 0);
#pragma unroll
        for (int k = 0; k < width; k++) if (at.has(0, k)) held.at[k] = gradient(one.at[k], held.at[k], lines[at.at(0, k)]);
        give(at, gx + left + i * columns, 0, held);
    }
}

// gw and gb of each channel out of its parts, of `l` columns each. A warp each.
template <class A> __device__ __forceinline__ void join(A* gw, A* gb, const A* parts, i64 c, i64 l, i64 count) {
    const i64 channel = thread_index() >> 5;
    two<A> own = {};
    for (i64 q = threadIdx.x & 31; channel < c && q < count * l; q += 32) {
        const A* p = parts + 2 * (q / l * c * l + channel * l + q % l);
        own = own + two<A>{p[0], p[1]};
    }
    own = lane_sum(own, 32);
    if (channel < c && (threadIdx.x & 31) == 0) gb[channel] = own.a, gw[channel] = own.b;
}

// gx over the array as it lies in memory, `count` elements a channel.
template <class T, class W> __device__ __forceinline__ void apply(
    T* gx, const T* g, const T* x, const W* w, const acc<T>* mean, const acc<T>* var, const acc<T>* gw, const acc<T>* gb,
    i64 total, i64 c, i64 l, acc<T> eps, bool center)
{
    typedef acc<T> A;
    constexpr int width = pack<T>::size;
    const i64 packs = aligned16(gx, g, x) ? total / width : 0;
    const A count = A(total / c);
    const auto of = [&](i64 channel) { return line_of(channel, gw[channel], gb[channel], mean, var, w, count, eps, center); };
    for (i64 i = thread_index(); i < packs; i += thread_count()) {
        const pack<T> one = load16(g + i * width);
        pack<T> held = load16(x + i * width);
        const quotient_rest plane = divided(i * width, l);
        i64 channel = divided(plane.quotient, c).rest, place = plane.rest;
        line<A> here = of(channel);
#pragma unroll
        for (int k = 0; k < width; k++) {
            if (place == l) {
                place = 0;
                channel = channel + 1 == c ? 0 : channel + 1;
                here = of(channel);
            }
            held.at[k] = gradient(one.at[k], held.at[k], here);
            place++;
        }
        store16(gx + i * width, held);
    }
    for (i64 i = packs * width + thread_index(); i < total; i += thread_count())
        gx[i] = gradient(g[i], x[i], of(divided(divided(i, l).quotient, c).rest));
}

extern "C" __global__ void __launch_bounds__(256) ENTRY(channel_normalize_grad_planes)(
    element* gx, wide* gw, wide* gb, wide* parts, const element* g, const element* x, const weight* w, const wide* mean,
    const wide* var, i64 n, i64 c, i64 l, i64 size, i64 count, double eps, i64 center)
{
    constexpr int width = pack<element>::size;
    if (l % width == 0 && aligned16(gx, g, x))
        over_planes<element, weight, width>(gx, gw, gb, parts, g, x, w, mean, var, n, c, l, size, count, eps, center);
    else over_planes<element, weight, 1>(gx, gw, gb, parts, g, x, w, mean, var, n, c, l, size, count, eps, center);
}
extern "C" __global__ void __launch_bounds__(512) ENTRY(channel_normalize_grad_rows)(
    element* gx, wide* gw, wide* gb, wide* parts, const element* g, const element* x, const weight* w, const wide* mean,
    const wide* var, i64 n, i64 columns, i64 l, i64 size, i64 complete, double eps, i64 center)
{
    if (columns % pack<element>::size == 0 && aligned16(gx, g, x))
        over_rows<element, weight, true>(gx, gw, gb, parts, g, x, w, mean, var, n, columns, l, size, complete, eps, center);
    else over_rows<element, weight, false>(gx, gw, gb, parts, g, x, w, mean, var, n, columns, l, size, complete, eps, center);
}
extern "C" __global__ void __launch_bounds__(128) ENTRY(channel_normalize_grad_join)(
    wide* gw, wide* gb, const wide* parts, i64 c, i64 l, i64 count) { join(gw, gb, parts, c, l, count); }
extern "C" __global__ void __launch_bounds__(256) ENTRY(channel_normalize_grad_apply)(
    element* gx, const element* g, const element* x, const weight* w, const wide* mean, const wide* var, const wide* gw,
    const wide* gb, i64 total, i64 c, i64 l, double eps, i64 center)
{ apply(gx, g, x, w, mean, var, gw, gb, total, c, l, wide(eps), center); }
