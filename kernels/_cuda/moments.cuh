// What layer and batch norm share: moments that can be joined, sums over the threads that hold a row, and who holds what of it.

__device__ __forceinline__ float inverse_root(float x) { return rsqrtf(x); }
__device__ __forceinline__ double inverse_root(double x) { return rsqrt(x); }

// A source is compiled for one type of elements and of weights (16-bit elements take weights of their type or of float), as all
// at once take many seconds; its entry points are named ENTRY(row_normalize_4) and so on.
#ifndef ELEMENT
#define ELEMENT float
#define WEIGHT float
#define SUFFIX f32
#endif
#define PASTED(name, suffix) name##_##suffix
#define SUFFIXED(name, suffix) PASTED(name, suffix)
#define ENTRY(name) SUFFIXED(name, SUFFIX)
typedef ELEMENT element;
typedef WEIGHT weight;
typedef acc<element> wide;   // what they are computed in

// ---- over lanes and blocks ------------------------------------------------------------------------------------------

template <class A> struct two { A a, b; };
template <class A> __device__ __forceinline__ two<A> operator+(two<A> x, two<A> y) { return {x.a + y.a, x.b + y.b}; }

// So many numbers: their mean and the sum of their squared deviations from it (Chan, Golub and LeVeque 1979).
template <class A> struct moments { A count, mean, square; };
template <class A> __device__ __forceinline__ moments<A> operator+(moments<A> x, moments<A> y) {
    const A count = x.count + y.count, share = count > A(0) ? y.count / count : A(0), d = y.mean - x.mean;
    return {count, x.mean + d * share, x.square + y.square + d * (x.count * share) * d};   // 0 d d could be 0 inf
}

template <class A> __device__ __forceinline__ A swapped(A x, int step) { return __shfl_xor_sync(0xffffffffu, x, step); }
template <class A> __device__ __forceinline__ two<A> swapped(two<A> x, int step) {
    return {swapped(x.a, step), swapped(x.b, step)};
}
template <class A> __device__ __forceinline__ moments<A> swapped(moments<A> x, int step) {
    return {swapped(x.count, step), swapped(x.mean, step), swapped(x.square, step)};
}

// The sum over `group` neighbouring lanes, a power of two up to 32: the same bits in all of them.
template <class V> __device__ __forceinline__ V lane_sum(V value, int group) {
    const int lane = threadIdx.x & 31;
    for (int step = 1; step < group; step <<= 1) {
        const V other = swapped(value, step);
        value = lane & step ? other + value : value + other;
    }
    return value;
}
// The same where `group` may also be the block's threads; `shared` has room for 32 values, all threads call it.
template <class V> __device__ __forceinline__ V group_sum(V value, int group, V* shared) {
    value = lane_sum(value, min(group, 32));
    if (group > 32) {
        const int lane = threadIdx.x & 31;
        if (lane == 0) shared[threadIdx.x >> 5] = value;
        __syncthreads();
        value = lane_sum(lane < blockDim.x >> 5 ? shared[lane] : V{}, 32);
        __syncthreads();   // before the room is used again
    }
    return value;
}

// ---- a row over threads ---------------------------------------------------------------------------------------------

// `group` threads share `length` elements in rounds of `width` elements a thread, which lie together if `whole` (then `length` is
// a multiple of `width` and rows start at 16-byte addresses); if not, neighbouring threads have neighbouring elements.
template <int width, bool whole> struct lanes {
    int t, group, length;
    __device__ int at(int p, int k) const { return whole ? (p * group + t) * width + k : (p * width + k) * group + t; }
    __device__ bool has(int p, int k) const { return at(p, whole ? 0 : k) < length; }
    // Places are to be worked out anew from here on, which is cheap: kept, they would take more registers than a row does.
    __device__ void forget() {
#ifndef TENSORLITE_ON_CPU
        asm volatile("" : "+r"(t), "+r"(group), "+r"(length));
#endif
    }
};
// Keeps a pack as four registers from here on: what was made of it before (64 floats of 8 packs of f16) is not to be kept.
template <class T> __device__ __forceinline__ void settle(pack<T>& values) {
#ifndef TENSORLITE_ON_CPU
    union { uint4 bits; pack<T> values; } u;
    u.values = values;
    asm volatile("" : "+r"(u.bits.x), "+r"(u.bits.y), "+r"(u.bits.z), "+r"(u.bits.w));
    values = u.values;
#endif
}
template <class T, int width, bool whole> __device__ __forceinline__ pack<T> take(lanes<width, whole> l, const T* row, int p) {
    pack<T> out = {};
    if constexpr (whole) {
        if (l.has(p, 0)) out = load16(row + l.at(p, 0));
    } else {
#pragma unroll
        for (int k = 0; k < width; k++) if (l.has(p, k)) out.at[k] = row[l.at(p, k)];
        settle(out);
    }
    return out;
}
template <class T, int width, bool whole>
__device__ __forceinline__ void give(lanes<width, whole> l, T* row, int p, const pack<T>& out) {
    if constexpr (whole) {
        if (l.has(p, 0)) store16(row + l.at(p, 0), out);
    } else {
#pragma unroll
        for (int k = 0; k < width; k++) if (l.has(p, k)) row[l.at(p, k)] = out.at[k];
    }
}
// Weights, in the type of computing; `missing` where there are none.
template <class A, class W, int width, bool whole>
__device__ __forceinline__ void widen(A (&to)[width], lanes<width, whole> l, const W* row, int p, A missing) {
#pragma unroll
    for (int k = 0; k < width; k++) to[k] = missing;
    if (row == nullptr) return;
    if constexpr (whole) {
        constexpr int size = pack<W>::size;
        if (l.has(p, 0)) {
#pragma unroll
            for (int part = 0; part < width / size; part++) {
                const pack<W> some = load16(row + l.at(p, part * size));
#pragma unroll
                for (int k = 0; k < size; k++) to[part * size + k] = load(some.at[k]);
            }
        }
    } else {
#pragma unroll
        for (int k = 0; k < width; k++) if (l.has(p, k)) to[k] = load(row[l.at(p, k)]);
    }
}

// ---- long ranges ----------------------------------------------------------------------------------------------------

// Up to `together` items that fall to this thread, asked for at once: q, q + blockDim.x, ...; item q is the `width` at at(q).
template <class T, int together, int width, class At> struct batch {
    pack<T> held[together];
    int count;
    __device__ batch(i64 q, i64 last, At at) : count(0) {
#pragma unroll
        for (int r = 0; r < together; r++) {
            const i64 item = q + (i64)r * blockDim.x;
            if (item < last) {
                if constexpr (width == 1) held[r].at[0] = *at(item);
                else held[r] = load16(at(item));
                count++;
            }
        }
    }
};

// The moments of items [first, last), item q being `width` elements from at(q), a share of them for each thread of the block: in
// registers first the mean, then the deviations from it.
template <class T, int width, class At> __device__ __forceinline__ moments<acc<T>> thread_moments(i64 first, i64 last, At at) {
    typedef acc<T> A;
    constexpr int together = 16 / (int)sizeof(T) > width ? 8 : 4;
    moments<A> own = {};
    for (i64 q = first + threadIdx.x; q < last; q += (i64)together * blockDim.x) {
        const batch<T, together, width, At> items(q, last, at);
        const A count = A(items.count * width);
        A sum = A(0), square = A(0);
#pragma unroll
        for (int r = 0; r < together; r++)
            if (r < items.count)
#pragma unroll
                for (int k = 0; k < width; k++) sum += load(items.held[r].at[k]);
        const A mean = sum / count;
#pragma unroll
        for (int r = 0; r < together; r++)
            if (r < items.count)
#pragma unroll
                for (int k = 0; k < width; k++) {
                    const A d = load(items.held[r].at[k]) - mean;
                    square += d * d;
                }
        own = own + moments<A>{count, mean, square};
    }
    return own;
}

// q / by and q % by, in 32 bits where they suffice.
struct quotient_rest { i64 quotient, rest; };
__device__ __forceinline__ quotient_rest divided(i64 q, i64 by) {
    if (((u64)q | (u64)by) >> 32) return {q / by, q % by};
    return {(i64)((u32)q / (u32)by), (i64)((u32)q % (u32)by)};
}
