// Lists of arrays in one launch: what the optimizers and the passes over all gradients share.
//
// A list of n arrays is 3n words: the addresses, the kinds of element (below; -1: no array here), the sizes. Block b works on
// one chunk of one array, places[b] = array << 32 | chunk, and a chunk is a multiple of every width below.
#pragma once

enum kind { F32, F16, BF16, F64 };   // kernels/_cuda/plans.py has the same order

struct part { i64 array, low, high; };   // elements [low, high) of an array
__device__ inline part part_of_block(const i64* list, i64 n, const i64* places, i64 chunk) {
    const i64 place = places[blockIdx.x], array = place >> 32, low = (place & 0xffffffff) * chunk, size = list[2 * n + array];
    return {array, low, low + chunk < size ? low + chunk : size};
}

// True in every thread of the block that comes here last. What all blocks read before coming here is then free to change, and
// what they wrote can be read. The ticket is zero before and after.
__device__ inline bool comes_last(i64* ticket) {
    __shared__ bool last;
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        last = atomicAdd((u64*)ticket, 1ull) == gridDim.x - 1;
        if (last) *ticket = 0;
        __threadfence();
    }
    __syncthreads();
    return last;
}

// An address from a table: said to be in global memory, so that the compiler need not make its accesses generic ones.
template <class T> __device__ inline T* global(i64 address) {
#ifdef TENSORLITE_ON_CPU
    return reinterpret_cast<T*>(address);
#else
    return (T*)__cvta_global_to_generic(address);
#endif
}

// W neighbouring elements in one access, of 16 bytes at the most
template <int W, class T> __device__ inline void fetch(acc<T>* out, const T* p) {
    if constexpr (W == 1) {
        out[0] = load(*p);
    } else if constexpr (W * sizeof(T) == 16) {
        const pack<T> values = load16(p);
#pragma unroll
        for (int k = 0; k < W; k++) out[k] = load(values.at[k]);
    } else {
        union { u64 bits; T values[W]; } u;
        u.bits = *reinterpret_cast<const u64*>(p);
#pragma unroll
        for (int k = 0; k < W; k++) out[k] = load(u.values[k]);
    }
}
template <int W, class T> __device__ inline void put(T* p, const acc<T>* values) {
    if constexpr (W == 1) {
        *p = rounded<T>(values[0]);
    } else if constexpr (W * sizeof(T) == 16) {
        pack<T> out;
#pragma unroll
        for (int k = 0; k < W; k++) out.at[k] = rounded<T>(values[k]);
        store16(p, out);
    } else {
        union { u64 bits; T values[W]; } u;
#pragma unroll
        for (int k = 0; k < W; k++) u.values[k] = rounded<T>(values[k]);
        *reinterpret_cast<u64*>(p) = u.bits;
    }
}

// body(i, width) for all i of the part: `width` elements at once from i on where all arrays are aligned, the rest one by one.
template <int W> struct elements { static constexpr int width = W; };
template <int W, class F> __device__ inline void over_part(part at, bool aligned, F body) {
    i64 done = at.low;
    if (aligned && W > 1) {
        done = at.low + (at.high - at.low) / W * W;
        for (i64 i = at.low + (i64)threadIdx.x * W; i < done; i += (i64)blockDim.x * W) body(i, elements<W>());
    }
    for (i64 i = done + threadIdx.x; i < at.high; i += blockDim.x) body(i, elements<1>());
}

// ---- optimizers ------------------------------------------------------------------------------------------------------
// A parameter's row of the table: address, three states (0: not kept), float32 master (0: none), kind, whether it has a master.

enum column { PARAM, STATE, MASTER = 4, TYPE, MASTERED, COLUMNS = 8 };

template <class A, class B> struct same { static constexpr bool value = false; };
template <class A> struct same<A, A> { static constexpr bool value = true; };
template <class T> struct kind_of;
template <> struct kind_of<float> { static constexpr int value = F32; };
template <> struct kind_of<f16> { static constexpr int value = F16; };
template <> struct kind_of<bf16> { static constexpr int value = BF16; };
template <> struct kind_of<double> { static constexpr int value = F64; };

__device__ inline bool overflow(const void* found_inf) { return found_inf && (*(const u32*)found_inf & 0x7fffffff); }
__device__ inline double inverse(const float* scale) { return scale ? (double)(float)(1.0 / (double)*scale) : 1.0; }
__device__ inline double rate_of(double lr, const void* lr_at, i64 lr_bytes) {
    return lr_bytes == 8 ? *(const double*)lr_at : lr_bytes == 4 ? (double)*(const float*)lr_at : lr;
}
__device__ inline double power(double x, i64 n) {
    double out = 1.0;
    for (; n; n >>= 1, x *= x)
        if (n & 1) out *= x;
    return out;
}

// Every parameter of this type that has a gradient has one step more.
template <class P, class S> __device__ inline void count_steps(const i64* rows, const i64* grads, i64 n, i64* steps) {
    for (i64 i = threadIdx.x; i < n; i += blockDim.x) {
        const i64* row = rows + i * COLUMNS;
        if (row[TYPE] == kind_of<P>::value && row[MASTERED] == !same<P, S>::value && grads[n + i] >= 0) steps[i] += 1;
    }
}

// f(g, p, state) changes p and the K states of every element of the part. P: the parameters; S: the states and, where it is
// another type, the masters; G: the gradients. A parameter that is not its master rounded was written to: it counts.
template <int K, class P, class S, class G, class F> __device__ inline void update(const i64* row, const G* g, part at, F f) {
    typedef acc<P> A;
    constexpr bool mastered = !same<P, S>::value;
    constexpr int largest = sizeof(S) > sizeof(G) ? sizeof(S) : sizeof(G), width = 16 / largest;
    P* p = global<P>(row[PARAM]);
    S* master = global<S>(row[MASTER]);
    constexpr int room = K ? K : 1;   // there are no arrays of length 0
    S* state[room];
    bool kept[room], aligned = aligned16(p, g, master);
#pragma unroll
    for (int k = 0; k < K; k++) {
        kept[k] = row[STATE + k] != 0;
        state[k] = global<S>(row[STATE + k]);
        aligned = aligned && aligned16(state[k]);
    }
    over_part<width>(at, aligned, [&](i64 i, auto elements) {
        constexpr int W = decltype(elements)::width;
        A grad[W], value[W], s[room][W];
        fetch<W>(grad, g + i);
        fetch<W>(value, p + i);
        if constexpr (mastered) {
            A exact[W];
            fetch<W>(exact, master + i);
#pragma unroll
            for (int k = 0; k < W; k++) value[k] = load(rounded<P>(exact[k])) == value[k] ? exact[k] : value[k];
        }
#pragma unroll
        for (int k = 0; k < K; k++)
            if (kept[k]) fetch<W>(s[k], state[k] + i);
#pragma unroll
        for (int k = 0; k < W; k++) {
            A own[room];
#pragma unroll
            for (int j = 0; j < K; j++) own[j] = kept[j] ? s[j][k] : A(0);
            f(grad[k], value[k], own);
#pragma unroll
            for (int j = 0; j < K; j++) s[j][k] = own[j];
        }
        put<W>(p + i, value);
        if constexpr (mastered) put<W>(master + i, value);
#pragma unroll
        for (int k = 0; k < K; k++)
            if (kept[k]) put<W>(state[k] + i, s[k]);
    });
}

// The same for gradients of the kind the list says: of P, or float32, or (with float32 parameters) 16-bit.
template <int K, class P, class S, class F> __device__ inline void update_any(const i64* rows, const i64* grads, i64 n, part at, F f) {
    const i64* row = rows + at.array * COLUMNS;
    const i64 g = grads[at.array], kind = grads[n + at.array];
    if constexpr (same<P, double>::value) {
        update<K, P, S>(row, global<const double>(g), at, f);
    } else if constexpr (same<P, float>::value) {
        if (kind == F32) update<K, P, S>(row, global<const float>(g), at, f);
        else if (kind == F16) update<K, P, S>(row, global<const f16>(g), at, f);
        else update<K, P, S>(row, global<const bf16>(g), at, f);
    } else {
        if (kind == F32) update<K, P, S>(row, global<const float>(g), at, f);
        else update<K, P, S>(row, global<const P>(g), at, f);
    }
}

// What every optimizer's entry point starts with; more follows by name. sign: -1 to go up instead of down.
#define OPTIMIZER_PARAMETERS                                                                                              \
    const i64 *rows, const i64 *grads, i64 n, const i64 *places, i64 chunk, i64 *steps, double lr, const void *lr_at,     \
        i64 lr_bytes, double sign, const void *found_inf, const float *grad_scale
#define OPTIMIZER_ARGUMENTS rows, grads, n, places, chunk, steps, lr, lr_at, lr_bytes, sign, found_inf, grad_scale

// X(suffix, type of the parameters, type of the states and masters, blocks on a multiprocessor that the registers shall allow)
#define OPTIMIZER_ENTRIES(X)                                                                                              \
    X(f32, float, float, 4) X(f64, double, double, 3) X(f16, f16, f16, 3) X(bf16, bf16, bf16, 3)                          \
    X(f16_master, f16, float, 4) X(bf16_master, bf16, float, 4)
