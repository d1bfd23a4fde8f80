#include "tensorlite.cuh"
#include "moments.cuh"

// x is (n, c, l). Where l is long, blocks read planes of l elements; where it is short, rows of columns = c l elements, 8 threads
// for as many packs of columns and as many of those side by side as there are rows for. A channel (a column) that is one block's
// alone is normalised by it at once; else blocks write moments of `size` rows or elements to parts, (count, columns, 2), then
// `join` makes the channels' moments of them, and `apply` the result.

template <class T, int width> struct planes {   // the items of channel `channel`: `per` to a plane
    i64 plane, jump, per;
    __device__ i64 at(i64 q) const {
        const quotient_rest place = divided(q, per);
        return plane + place.quotient * jump + place.rest * width;
    }
};

template <class T, class W, int width> __device__ __forceinline__ void over_planes(
    T* y, acc<T>* mean, acc<T>* var, acc<T>* parts, const T* x, const W* w, const W* b, i64 n, i64 c, i64 l, i64 size, i64 count,
    acc<T> eps, bool center)
{
    typedef acc<T> A;
    __shared__ moments<A> shared[32];
    const i64 channel = blockIdx.x / count, part = blockIdx.x % count;
    const planes<T, width> p = {channel * l, c * l, l / width};
    const i64 first = part * size / width, last = min(first + size / width, n * p.per);
    moments<A> own = thread_moments<T, width>(first, last, [&](i64 q) { return x + p.at(q); });
    own = group_sum(own, blockDim.x, shared);
    if (count > 1) {
        if (threadIdx.x == 0) parts[2 * (part * c + channel)] = own.mean, parts[2 * (part * c + channel) + 1] = own.square;
        return;
    }
    const A middle = center ? own.mean : A(0), square = own.square / own.count + (center ? A(0) : own.mean * own.mean);
    if (threadIdx.x == 0) mean[channel] = middle, var[channel] = square;
    const A scale = inverse_root(square + eps) * (w ? load(w[channel]) : A(1)), shift = b ? load(b[channel]) : A(0);
    constexpr int together = width == 1 ? 8 : 4;
    for (i64 q = threadIdx.x; q < last; q += (i64)together * blockDim.x) {
        const auto at = [&](i64 q) { return x + p.at(q); };
        batch<T, together, width, decltype(at)> items(q, last, at);
#pragma unroll
        for (int r = 0; r < together; r++)
            if (r < items.count) {
                T* to = y + p.at(q + (i64)r * blockDim.x);
#pragma unroll
                for (int k = 0; k < width; k++)
                    items.held[r].at[k] = rounded<T>((load(items.held[r].at[k]) - middle) * scale + shift);
                if constexpr (width == 1) *to = items.held[r].at[0];
                else store16(to, items.held[r]);
            }
    }
}

template <class T, class W, bool whole> __device__ __forceinline__ void over_rows(
    T* y, acc<T>* mean, acc<T>* var, acc<T>* parts, const T* x, const W* w, const W* b, i64 n, i64 columns, i64 size,
    bool complete, acc<T> eps, bool center)
{
    typedef acc<T> A;
    constexpr int width = pack<T>::size, together = 4, line = 8 * width;
    __shared__ A means[16][line], squares[16][line];
    __shared__ A counts[16];
    const int tx = threadIdx.x & 7, ty = threadIdx.x >> 3, rows = blockDim.x >> 3, warp = threadIdx.x >> 5;
    const i64 left = (i64)blockIdx.x * line, first = (i64)blockIdx.y * size, last = min(first + size, n);
    const lanes<width, whole> l = {tx, 8, (int)min((i64)line, columns - left)};
    A own = A(0), mean_of[width] = {}, square_of[width] = {};
    x += left;
    for (i64 top = first + ty; top < last; top += (i64)together * rows) {
        pack<T> held[together];
#pragma unroll
        for (int r = 0; r < together; r++)
            held[r] = top + r * rows < last ? take(l, x + (top + r * rows) * columns, 0) : pack<T>{};
        const i64 left_over = (last - top + rows - 1) / rows;
        const A some = A(left_over < together ? left_over : together), share = some / (own + some), before = own * share;
#pragma unroll
        for (int k = 0; k < width; k++) {
            A sum = A(0), square = A(0);
#pragma unroll
            for (int r = 0; r < together; r++) sum += load(held[r].at[k]);   // of rows that are not there 0
            const A middle = sum / some, d = middle - mean_of[k];
#pragma unroll
            for (int r = 0; r < together; r++) {
                const A e = r < left_over ? load(held[r].at[k]) - middle : A(0);
                square += e * e;
            }
            mean_of[k] += d * share;
            square_of[k] += square + d * before * d;
        }
        own += some;
    }
    for (int step = 8; step < 32; step <<= 1) {   // the four threads of a warp that have the same columns
        const A other = swapped(own, step);
#pragma unroll
        for (int k = 0; k < width; k++) {
            const moments<A> mine = {own, mean_of[k], square_of[k]};
            const moments<A> its = {other, swapped(mine.mean, step), swapped(mine.square, step)};
            const moments<A> both = threadIdx.x & step ? its + mine : mine + its;
            mean_of[k] = both.mean, square_of[k] = both.square;
        }
        own += other;
    }
    if ((threadIdx.x & 31) < 8) {
#pragma unroll
        for (int k = 0; k < width; k++) means[warp][l.at(0, k)] = mean_of[k], squares[warp][l.at(0, k)] = square_of[k];
        if (tx == 0) counts[warp] = own;
    }
    __syncthreads();
    for (int j = threadIdx.x; j < l.length; j += blockDim.x) {
        moments<A> all = {};
        for (int i = 0; i < (int)blockDim.x >> 5; i++) all = all + moments<A>{counts[i], means[i][j], squares[i][j]};
        if (complete) {
            const i64 channel = left + j;
            const A middle = center ? all.mean : A(0), square = all.square / all.count + (center ? A(0) : all.mean * all.mean);
            mean[channel] = middle, var[channel] = square;
            means[0][j] = middle;
            squares[0][j] = inverse_root(square + eps) * (w ? load(w[channel]) : A(1));
        } else {
            A* part = parts + 2 * ((i64)blockIdx.y * columns + left + j);
            part[0] = all.mean, part[1] = all.square;
        }
    }
    if (!complete) return;
    __syncthreads();
    A shift[width];
    widen(shift, l, b ? b + left : b, 0, A(0));
    for (i64 i = ty; i < n; i += rows) {
        pack<T> held = take(l, x + i * columns, 0);
#pragma unroll
        for (int k = 0; k < width; k++)
            held.at[k] = rounded<T>((load(held.at[k]) - means[0][l.at(0, k)]) * squares[0][l.at(0, k)] + shift[k]);
        give(l, y + left + i * columns, 0, held);
    }
}

// The moments of each channel out of its parts: `l` columns of `size` elements each, of which there are `total`. A warp each.
template <class A> __device__ __forceinline__ void join(
    A* mean, A* var, const A* parts, i64 c, i64 l, i64 size, i64 total, i64 count, bool center)
{
    const i64 channel = thread_index() >> 5;
    moments<A> own = {};
    for (i64 q = threadIdx.x & 31; channel < c && q < count * l; q += 32) {
        const i64 part = q / l;
        const A* p = parts + 2 * (part * c * l + channel * l + q % l);
        own = own + moments<A>{A(min(size, total - part * size)), p[0], p[1]};
    }
    own = lane_sum(own, 32);
    if (channel >= c || threadIdx.x & 31) return;
    mean[channel] = center ? own.mean : A(0);
    var[channel] = own.square / own.count + (center ? A(0) : own.mean * own.mean);
}

// y = (x - mean) scale + shift by channel, over the array as it lies in memory.
template <class T, class W> __device__ __forceinline__ void apply(
    T* y, const T* x, const W* w, const W* b, const acc<T>* mean, const acc<T>* var, i64 total, i64 c, i64 l, acc<T> eps)
{
    typedef acc<T> A;
    constexpr int width = pack<T>::size;
    const i64 packs = aligned16(x, y) ? total / width : 0;
    const auto of = [&](i64 channel, A& middle, A& scale, A& shift) {
        middle = mean[channel];
        scale = inverse_root(var[channel] + eps) * (w ? load(w[channel]) : A(1));
        shift = b ? load(b[channel]) : A(0);
    };
    A middle, scale, shift;
    for (i64 i = thread_index(); i < packs; i += thread_count()) {
        pack<T> held = load16(x + i * width);
        const quotient_rest plane = divided(i * width, l);
        i64 channel = divided(plane.quotient, c).rest, place = plane.rest;
        of(channel, middle, scale, shift);
#pragma unroll
        for (int k = 0; k < width; k++) {
            if (place == l) {
                place = 0;
                channel = channel + 1 == c ? 0 : channel + 1;
                of(channel, middle, scale, shift);
            }
            held.at[k] = rounded<T>((load(held.at[k]) - middle) * scale + shift);
            place++;
        }
        store16(y + i * width, held);
    }
    for (i64 i = packs * width + thread_index(); i < total; i += thread_count()) {
        of(divided(divided(i, l).quotient, c).rest, middle, scale, shift);
        y[i] = rounded<T>((load(x[i]) - middle) * scale + shift);
    }
}

extern "C" __global__ void __launch_bounds__(256) ENTRY(channel_normalize_planes)(
    element* y, wide* mean, wide* var, wide* parts, const element* x, const weight* w, const weight* b, i64 n, i64 c, i64 l,
    i64 size, i64 count, double eps, i64 center)
{
    constexpr int width = pack<element>::size;
    if (l % width == 0 && aligned16(x, y))
        over_planes<element, weight, width>(y, mean, var, parts, x, w, b, n, c, l, size, count, eps, center);
    else over_planes<element, weight, 1>(y, mean, var, parts, x, w, b, n, c, l, size, count, eps, center);
}
extern "C" __global__ void __launch_bounds__(512) ENTRY(channel_normalize_rows)(
    element* y, wide* mean, wide* var, wide* parts, const element* x, const weight* w, const weight* b, i64 n, i64 columns,
    i64 size, i64 complete, double eps, i64 center)
{
    if (columns % pack<element>::size == 0 && aligned16(x, y, w, b))
        over_rows<element, weight, true>(y, mean, var, parts, x, w, b, n, columns, size, complete, eps, center);
    else over_rows<element, weight, false>(y, mean, var, parts, x, w, b, n, columns, size, complete, eps, center);
}
extern "C" __global__ void __launch_bounds__(128) ENTRY(channel_normalize_join)(
    wide* mean, wide* var, const wide* parts, i64 c, i64 l, i64 size, i64 total, i64 count, i64 center)
{ join(mean, var, parts, c, l, size, total, count, center); }
extern "C" __global__ void __launch_bounds__(256) ENTRY(channel_normalize_apply)(
    element* y, const element* x, const weight* w, const weight* b, const wide* mean, const wide* var, i64 total, i64 c, i64 l,
    double eps) { apply(y, x, w, b, mean, var, total, c, l, wide(eps)); }

// The running statistics after a batch; one block, so that the counter is read by all before it is counted up.
extern "C" __global__ void __launch_bounds__(256) ENTRY(running_moments)(
    element* running_mean, element* running_var, i64* counter, const wide* mean, const wide* var, i64 c, double momentum,
    double correction)
{
    const wide fraction = momentum < 0 ? wide(1) / wide(1 + *counter) : wide(momentum), rest = wide(1) - fraction;
    for (i64 i = threadIdx.x; i < c; i += blockDim.x) {
        if (running_mean) running_mean[i] = rounded<element>(load(running_mean[i]) * rest + mean[i] * fraction);
        if (running_var) running_var[i] = rounded<element>(load(running_var[i]) * rest + var[i] * wide(correction) * fraction);
    }
    __syncthreads();
    if (threadIdx.x == 0 && counter) *counter += 1;
}
