#include "tensorlite.cuh"
// Sums over one or two axes of three, each output by one block, or by several that leave their sums in `partial`: the last of them
// to finish adds those up, in their order. Which elements a thread adds depends on the lengths alone, so the bits do too.
// `wide`: results are written as acc<T>, to be summed on.

constexpr int THREADS = 256;

// True in every thread of the last of the `parts` blocks that come here with this ticket; the ticket is zero before and after.
__device__ inline bool comes_last(u32* ticket, i64 parts) {
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicAdd(ticket, 1u) == (u32)parts - 1;
        if (last) *ticket = 0;
    }
    __syncthreads();
    __threadfence();
    return last;
}

template <class T> __device__ inline void write(void* out, i64 i, acc<T> value, i64 wide) {
    if (wide) ((acc<T>*)out)[i] = value;
    else ((T*)out)[i] = rounded<T>(value);
}

// ---- columns: (k, r, c) -> (k, c) -------------------------------------------------------------------------------------
// A block is `across` threads (a power of two) by THREADS / across; a thread adds W columns of every so-manieth row.

template <int W, class A> __device__ void add_down(A* sum, A* shared, int across) {   // over the block's rows, into its first one
    for (int step = THREADS / 2; step >= across; step /= 2) {
#pragma unroll
        for (int j = 0; j < W; j++) shared[j * THREADS + threadIdx.x] = sum[j];
        __syncthreads();
        if ((int)threadIdx.x < step) {
#pragma unroll
            for (int j = 0; j < W; j++) sum[j] += shared[j * THREADS + threadIdx.x + step];
        }
        __syncthreads();
    }
}

template <class T> __device__ void columns(void* out, const T* x, i64 r, i64 c, i64 across, i64 span, i64 parts, acc<T>* partial,
                                           u32* tickets, i64 wide) {
    typedef acc<T> A;
    constexpr int W = pack<T>::size;
    __shared__ A shared[W * THREADS];
    const int tx = threadIdx.x & ((int)across - 1), ty = threadIdx.x / (int)across, down = THREADS / (int)across;
    const i64 tiles = (c + across * W - 1) / (across * W), place = blockIdx.x / parts, part = blockIdx.x - place * parts;
    const i64 k = place / tiles, first = (place - k * tiles) * across * W, low = part * span, high = low + span < r ? low + span : r;
    const bool packed = aligned16(x) && c % W == 0;
    const i64 step = packed ? 1 : across, column = first + (packed ? tx * W : tx);   // this thread's: column, column + step, ...
    A sum[W];
#pragma unroll
    for (int j = 0; j < W; j++) sum[j] = 0;
    const T* row = x + (k * r + low + ty) * c + column;
    if (packed) {
        if (column < c) {
#pragma unroll 4
            for (i64 i = low + ty; i < high; i += down, row += down * c) {
                const pack<T> values = load16(row);
#pragma unroll
                for (int j = 0; j < W; j++) sum[j] += load(values.at[j]);
            }
        }
    } else {
#pragma unroll 2
        for (i64 i = low + ty; i < high; i += down, row += down * c) {
#pragma unroll
            for (int j = 0; j < W; j++)
                if (column + j * step < c) sum[j] += load(row[j * step]);
        }
    }
    add_down<W>(sum, shared, (int)across);
    if (parts > 1) {
        A* mine = partial + (place * parts + part) * across * W;
        if (ty == 0) {
#pragma unroll
            for (int j = 0; j < W; j++) mine[j * across + tx] = sum[j];
        }
        if (!comes_last(tickets + place, parts)) return;
#pragma unroll
        for (int j = 0; j < W; j++) sum[j] = 0;
        for (i64 p = ty; p < parts; p += down) {
#pragma unroll
            for (int j = 0; j < W; j++) sum[j] += partial[(place * parts + p) * across * W + j * across + tx];
        }
        add_down<W>(sum, shared, (int)across);
    }
    if (ty == 0) {
#pragma unroll
        for (int j = 0; j < W; j++)
            if (column + j * step < c) write<T>(out, k * c + column + j * step, sum[j], wide);
    }
}

// ---- rows: (r, k, l) -> (k,) ------------------------------------------------------------------------------------------
// `lanes` threads (a power of two) add one stretch of l; the block's other threads the stretches of other r (`whole`: one k, or a
// part of it, a block), or of other k (else; r is 1 and lanes at most 32).

template <class T> __device__ void rows(void* out, const T* x, i64 r, i64 k, i64 l, i64 lanes, i64 whole, i64 r_span, i64 l_span,
                                        acc<T>* partial, u32* tickets, i64 wide) {
    typedef acc<T> A;
    constexpr int W = pack<T>::size;
    __shared__ A shared[33];
    const int lane = threadIdx.x & ((int)lanes - 1), group = threadIdx.x / (int)lanes, groups = THREADS / (int)lanes;
    const i64 l_parts = (l + l_span - 1) / l_span, parts = (r + r_span - 1) / r_span * l_parts;
    const i64 block = blockIdx.x / parts, part = blockIdx.x - block * parts, at = whole ? block : block * groups + group;
    const i64 r_part = part / l_parts, low = (part - r_part * l_parts) * l_span, high = low + l_span < l ? low + l_span : l;
    const i64 r_last = (r_part + 1) * r_span < r ? (r_part + 1) * r_span : r;
    const bool packed = l % W == 0 || r * k == 1, aligned = aligned16(x);   // else neighbours go to neighbouring threads
    A sum[W];
#pragma unroll
    for (int j = 0; j < W; j++) sum[j] = 0;
    for (i64 i = r_part * r_span + (whole ? group : 0); at < k && i < r_last; i += whole ? groups : 1) {
        const T* row = x + (i * k + at) * l;
        if (packed) {
            i64 e = low + lane * W;
            if (aligned) {
#pragma unroll 4
                for (; e + W <= high; e += lanes * W) {
                    const pack<T> values = load16(row + e);
#pragma unroll
                    for (int j = 0; j < W; j++) sum[j] += load(values.at[j]);
                }
            }
#pragma unroll 1
            for (; e < high; e += lanes * W) {
#pragma unroll
                for (int j = 0; j < W; j++)
                    if (e + j < high) sum[j] += load(row[e + j]);
            }
        } else {
#pragma unroll 1
            for (i64 e = low + lane; e < high; e += lanes * W) {
#pragma unroll
                for (int j = 0; j < W; j++)
                    if (e + j * lanes < high) sum[j] += load(row[e + j * lanes]);
            }
        }
    }
#pragma unroll
    for (int step = W / 2; step; step /= 2)
#pragma unroll
        for (int j = 0; j < step; j++) sum[j] += sum[j + step];
    A total = sum[0];
    if (!whole) {
        for (int step = (int)lanes / 2; step; step /= 2) total += __shfl_xor_sync(0xffffffffu, total, step);
        if (lane == 0 && at < k) write<T>(out, at, total, wide);
        return;
    }
    total = block_reduce(total, A(0), shared, plus());
    if (parts > 1) {
        if (threadIdx.x == 0) partial[at * parts + part] = total;
        if (!comes_last(tickets + at, parts)) return;
        total = 0;
        for (i64 p = threadIdx.x; p < parts; p += THREADS) total += partial[at * parts + p];
        total = block_reduce(total, A(0), shared, plus());
    }
    if (threadIdx.x == 0) write<T>(out, at, total, wide);
}

#define ENTRY(suffix, T)                                                                                                  \
    extern "C" __global__ void __launch_bounds__(THREADS) sum_to_columns_##suffix(                                        \
        void* out, const T* x, i64 r, i64 c, i64 across, i64 span, i64 parts, acc<T>* partial, u32* tickets, i64 wide) {  \
        columns(out, x, r, c, across, span, parts, partial, tickets, wide);                                               \
    }                                                                                                                     \
    extern "C" __global__ void __launch_bounds__(THREADS) sum_to_rows_##suffix(                                           \
        void* out, const T* x, i64 r, i64 k, i64 l, i64 lanes, i64 whole, i64 r_span, i64 l_span, acc<T>* partial,        \
        u32* tickets, i64 wide) {                                                                                         \
        rows(out, x, r, k, l, lanes, whole, r_span, l_span, partial, tickets, wide);                                      \
    }
ENTRIES(ENTRY)
