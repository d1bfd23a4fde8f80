#include "tensorlite.cuh"
#include "moments.cuh"

// Rows of g and x stay in the registers of `group` threads: read once (if not `whole`, again, from the cache); two sums; gx is
// written once. What the rows a thread sees add to the gradients of weight and bias it keeps in registers, and blocks write it to
// sums[blockIdx.y], (2, m), at their end. A row too long for a block comes in slices of `columns`, blockIdx.x says which, and its
// sums in `count` parts.
template <class T, class W, int packs, bool whole> __device__ __forceinline__ void rows(
    T* gx, acc<T>* sums, const T* g, const T* x, const W* w, const acc<T>* mean, const acc<T>* var, const acc<T>* parts,
    i64 count, i64 n, i64 m, int group, i64 columns, acc<T> eps, bool center)
{
    typedef acc<T> A;
    constexpr int width = pack<T>::size;
    __shared__ two<A> shared[32];
    __shared__ A lines[packs == 1 ? 2 * 32 * width : 2 * 32 * 4 * width];   // of groups of up to 32 threads
    const int slots = blockDim.x / group, slot = threadIdx.x / group, lane = threadIdx.x & 31, t = threadIdx.x % group;
    const i64 first = blockIdx.x * columns;
    const int here = (int)min(columns, m - first);
    A of_w[packs][width] = {}, of_b[packs][width] = {};
    for (i64 top = (i64)blockIdx.y * slots; top < n; top += (i64)gridDim.y * slots) {
        const i64 i = top + slot;
        lanes<width, whole> l = {t, group, i < n ? here : 0};
        l.forget();
        const i64 start = i * m + first;
        pack<T> gs[packs], xs[packs];
        if (whole)
#pragma unroll
            for (int p = 0; p < packs; p++) {
                l.forget();
                gs[p] = take(l, g + start, p), xs[p] = take(l, x + start, p);
            }
        const auto of_g = [&](int p) { return whole ? gs[p] : take(l, g + start, p); };   // 0 where there is none
        const auto of_x = [&](int p) { return whole ? xs[p] : take(l, x + start, p); };
        const A middle = i < n ? mean[i] : A(0), r = i < n ? inverse_root(var[i] + eps) : A(0);
        two<A> both = {};
#pragma unroll
        for (int p = 0; p < packs; p++) {
            A scale[width];
            l.forget();
            widen(scale, l, w ? w + first : w, p, A(1));
            const pack<T> gp = of_g(p), xp = of_x(p);
#pragma unroll
            for (int k = 0; k < width; k++) {
                const A one = load(gp.at[k]), xhat = (load(xp.at[k]) - middle) * r;
                of_w[p][k] += one * xhat;
                of_b[p][k] += one;
                both = both + two<A>{one * scale[k], one * scale[k] * xhat};
            }
        }
        if (packs == 4 && parts) {
            both = {};
            for (i64 q = lane; q < count; q += 32) {
                const A* part = parts + 2 * (i * count + q);
                both = both + two<A>{part[0], part[1]};
            }
            both = lane_sum(both, 32);
        } else {
            both = group_sum(both, group, shared);
        }
#pragma unroll
        for (int p = 0; p < packs; p++) settle(gs[p]), settle(xs[p]);
        const A level = center ? both.a / A(m) : A(0), slope = both.b / A(m);
#pragma unroll
        for (int p = 0; p < packs; p++) {
            A scale[width];
            l.forget();
            widen(scale, l, w ? w + first : w, p, A(1));
            const pack<T> gp = of_g(p);
            pack<T> out = of_x(p);
#pragma unroll
            for (int k = 0; k < width; k++) {
                const A xhat = (load(out.at[k]) - middle) * r;
                out.at[k] = rounded<T>((load(gp.at[k]) * scale[k] - level - xhat * slope) * r);
            }
            give(l, gx + start, p, out);
        }
    }
    if (sums == nullptr) return;
    sums += 2 * m * blockIdx.y + first;
    const lanes<width, whole> l = {t, group, here};
    if (slots == 1) {
#pragma unroll
        for (int p = 0; p < packs; p++)
#pragma unroll
            for (int k = 0; k < width; k++) if (l.has(p, k)) sums[l.at(p, k)] = of_w[p][k], sums[m + l.at(p, k)] = of_b[p][k];
        return;
    }
    for (int turn = 0; turn < slots; turn++) {   // one group after the other, so that the order is always the same
        if (turn == slot)
#pragma unroll
            for (int p = 0; p < packs; p++)
#pragma unroll
                for (int k = 0; k < width; k++)
                    if (l.has(p, k)) {
                        A *a = lines + l.at(p, k), *b = a + here;
                        *a = turn ? *a + of_w[p][k] : of_w[p][k];
                        *b = turn ? *b + of_b[p][k] : of_b[p][k];
                    }
        __syncthreads();
    }
    for (int j = threadIdx.x; j < here; j += blockDim.x) sums[j] = lines[j], sums[m + j] = lines[here + j];
}

#define ROWS(name, packs, threads, blocks)                                                                                \
    extern "C" __global__ void __launch_bounds__(threads, blocks) ENTRY(name)(                                            \
        element* gx, wide* sums, const element* g, const element* x, const weight* w, const wide* mean, const wide* var,  \
        const wide* parts, i64 count, i64 n, i64 m, i64 group, i64 columns, double eps, i64 center)                       \
    {                                                                                                                     \
        if (m % pack<element>::size == 0 && aligned16(gx, g, x, w))                                                       \
            rows<element, weight, packs, true>(                                                                           \
                gx, sums, g, x, w, mean, var, parts, count, n, m, group, columns, eps, center);                           \
        else rows<element, weight, packs, false>(                                                                         \
                gx, sums, g, x, w, mean, var, parts, count, n, m, group, columns, eps, center);                           \
    }
ROWS(row_normalize_grad_1, 1, 128, 6)
ROWS(row_normalize_grad_4, 4, sizeof(element) == 2 ? 256 : 512, 1)

// parts[i, p] = the sums of g w and of g w xhat over elements [p length, (p + 1) length) of row i; block (p, i).
template <class T, class W, bool whole> __device__ __forceinline__ void row_parts(
    acc<T>* parts, const T* g, const T* x, const W* w, const acc<T>* mean, const acc<T>* var, i64 n, i64 m, i64 length,
    acc<T> eps)
{
    typedef acc<T> A;
    constexpr int width = pack<T>::size;
    __shared__ two<A> shared[32];
    const i64 first = blockIdx.x * length, last = min(first + length, m);
    for (i64 i = blockIdx.y; i < n; i += gridDim.y) {
        const A middle = mean[i], r = inverse_root(var[i] + eps);
        two<A> both = {};
        for (i64 top = first; top < last; top += (i64)blockDim.x * width) {
            const lanes<width, whole> l = {(int)threadIdx.x, (int)blockDim.x, (int)min(last - top, (i64)blockDim.x * width)};
            const pack<T> gs = take(l, g + i * m + top, 0), xs = take(l, x + i * m + top, 0);
            A scale[width];
            widen(scale, l, w ? w + top : w, 0, A(1));
#pragma unroll
            for (int k = 0; k < width; k++) {
                const A q = load(gs.at[k]) * scale[k];
                both = both + two<A>{q, q * ((load(xs.at[k]) - middle) * r)};
            }
        }
        both = group_sum(both, blockDim.x, shared);
        if (threadIdx.x == 0) {
            parts[2 * (i * gridDim.x + blockIdx.x)] = both.a;
            parts[2 * (i * gridDim.x + blockIdx.x) + 1] = both.b;
        }
    }
}
extern "C" __global__ void __launch_bounds__(256) ENTRY(row_normalize_grad_parts)(
    wide* parts, const element* g, const element* x, const weight* w, const wide* mean, const wide* var, i64 n, i64 m, i64 length,
    double eps)
{
    if (m % pack<element>::size == 0 && length % pack<element>::size == 0 && aligned16(g, x, w))
        row_parts<element, weight, true>(parts, g, x, w, mean, var, n, m, length, eps);
    else row_parts<element, weight, false>(parts, g, x, w, mean, var, n, m, length, eps);
}

// gw and gb, the sums over the blocks; 32 columns a block, 8 threads a column, whose shares are added in order.
template <class A> __device__ __forceinline__ void column_sums(A* gw, A* gb, const A* sums, i64 blocks, i64 m)
{
    __shared__ A shared[8][32];
    const int lane = threadIdx.x & 31, slot = threadIdx.x >> 5;
    const i64 j = (i64)blockIdx.x * 32 + lane;
    A total = A(0);
    if (j < 2 * m)
#pragma unroll 4
        for (i64 i = slot; i < blocks; i += 8) total += sums[i * 2 * m + j];
    shared[slot][lane] = total;
    __syncthreads();
    if (slot || j >= 2 * m) return;
    for (int s = 1; s < 8; s++) total += shared[s][lane];
    if (j < m) gw[j] = total;
    else gb[j - m] = total;
}
extern "C" __global__ void __launch_bounds__(256) ENTRY(row_normalize_grad_sums)(
    wide* gw, wide* gb, const wide* sums, i64 blocks, i64 m) { column_sums(gw, gb, sums, blocks, m); }
