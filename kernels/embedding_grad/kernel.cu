#include "tensorlite.cuh"
// Rows summed where their indices say. The indices are sorted with their places, stably and by radix, so that equal ones become
// runs in the order they had; then every run is summed in that order. Integers alone are added by atomics.

constexpr int THREADS = 256, WARPS = THREADS / 32, ITEMS = 16, TILE = THREADS * ITEMS, DIGITS = 256;
constexpr i64 PIECE = 64;   // rows of a run that are summed in one go

template <> struct accumulator<u64> { typedef u64 type; };   // integers wrap
__device__ inline u64 load(u64 x) { return x; }
template <> __device__ inline u64 rounded<u64>(u64 x) { return x; }

// ---- keys: the row an index means, and `rows` where it counts for nothing ---------------------------------------------

template <class U, class I> __device__ void make_keys(U* keys, const I* indices, i64 n, i64 rows, i64 low, i64 padding,
                                                      u32* tickets, i64 ticket_count, i64* fault, i64 kind) {
    for (i64 i = thread_index(); i < n; i += thread_count()) {
        const i64 index = (i64)indices[i];
        const bool valid = index >= low && index < rows;
        if (!valid) report(fault, kind, index, i, rows);
        keys[i] = (U)(!valid || index == padding ? rows : index < 0 ? index + rows : index);
    }
    for (i64 i = thread_index(); i < ticket_count; i += thread_count()) tickets[i] = 0;
}

// ---- one pass of the sort, over eight bits ----------------------------------------------------------------------------

// counts[digit][tile]: how often the digit occurs in the tile
template <class U> __device__ void count_digits(U* counts, const U* keys, i64 n, i64 shift, i64 tiles) {
    __shared__ u32 seen[DIGITS];
    const i64 first = (i64)blockIdx.x * TILE;
    seen[threadIdx.x] = 0;
    __syncthreads();
    for (i64 i = first + threadIdx.x; i < n && i < first + TILE; i += THREADS) atomicAdd(&seen[(keys[i] >> shift) & 255], 1u);
    __syncthreads();
    counts[threadIdx.x * tiles + blockIdx.x] = seen[threadIdx.x];
}

// the sum of the values of the threads before this one, and in `total` of all
template <class U> __device__ U sum_before(U value, U* shared, U& total) {
    U sum = value;
    for (int step = 1; step < THREADS; step *= 2) {
        shared[threadIdx.x] = sum;
        __syncthreads();
        if ((int)threadIdx.x >= step) sum += shared[threadIdx.x - step];
        __syncthreads();
    }
    shared[threadIdx.x] = sum;
    __syncthreads();
    total = shared[THREADS - 1];
    __syncthreads();
    return sum - value;
}

// one block a digit: counts of the tiles before, in place; totals[digit]
template <class U> __device__ void sum_counts(U* counts, U* totals, i64 tiles) {
    __shared__ U shared[THREADS];
    U* row = counts + blockIdx.x * tiles;
    U before = 0, total;
    for (i64 first = 0; first < tiles; first += THREADS) {
        const i64 i = first + threadIdx.x;
        const U found = sum_before(i < tiles ? row[i] : U(0), shared, total);
        if (i < tiles) row[i] = before + found;
        before += total;
    }
    if (threadIdx.x == 0) totals[blockIdx.x] = before;
}

// Keys and their places, moved to where the digit belongs: behind smaller digits, and behind equal ones that come before.
// counts null: there is one tile. places null: they are 0, 1, 2, ...
template <class U> __device__ void move_to_digit(U* keys_out, U* places_out, const U* keys, const U* places, i64 n, i64 shift,
                                                 const U* counts, const U* totals, i64 tiles) {
    __shared__ u32 seen[WARPS][DIGITS];
    __shared__ U start[DIGITS];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const i64 first = (i64)blockIdx.x * TILE + warp * (32 * ITEMS) + lane;   // a warp's items lie side by side
    for (int w = 0; w < WARPS; w++) seen[w][threadIdx.x] = 0;
    __syncthreads();
    U key[ITEMS];
    u32 rank[ITEMS];   // how many of the warp's items with this digit come before
#pragma unroll
    for (int k = 0; k < ITEMS; k++) {
        const i64 i = first + 32 * k;
        key[k] = i < n ? keys[i] : ~U(0);   // beyond the end: the last of the last digit
        const u32 digit = (u32)(key[k] >> shift) & 255;
        u32 peers = 0xffffffffu;
#pragma unroll
        for (int b = 0; b < 8; b++) {
            const u32 votes = __ballot_sync(0xffffffffu, (digit >> b) & 1);
            peers &= (digit >> b) & 1 ? votes : ~votes;
        }
        const u32 before = __popc(peers & ((1u << lane) - 1));
        rank[k] = seen[warp][digit] + before;
        __syncwarp();
        if (before == 0) seen[warp][digit] += __popc(peers);
        __syncwarp();
    }
    __syncthreads();
    const int digit = threadIdx.x;
    u32 sum = 0;
    for (int w = 0; w < WARPS; w++) {
        const u32 count = seen[w][digit];
        seen[w][digit] = sum;
        sum += count;
    }
    U total;
    const U smaller = sum_before(counts ? totals[digit] : U(sum), start, total);
    start[digit] = smaller + (counts ? counts[digit * tiles + blockIdx.x] : U(0));
    __syncthreads();
#pragma unroll
    for (int k = 0; k < ITEMS; k++) {
        const i64 i = first + 32 * k;
        if (i < n) {
            const u32 d = (u32)(key[k] >> shift) & 255;
            const U to = start[d] + seen[warp][d] + rank[k];
            keys_out[to] = key[k];
            places_out[to] = places ? places[i] : U(i);
        }
    }
}

// ---- the sums of the runs ---------------------------------------------------------------------------------------------

// where in keys[low, high), which is sorted, the first one is that is not below `key` (or, `beyond`, that is above it)
template <class U> __device__ i64 boundary(const U* keys, i64 low, i64 high, U key, bool beyond) {
    while (low < high) {
        const i64 middle = low + (high - low) / 2;
        if (keys[middle] < key || (beyond && keys[middle] == key)) low = middle + 1;
        else high = middle;
    }
    return low;
}

template <class T, int W> struct columns {   // W neighbouring elements of a row, added up
    acc<T> at[W];
    __device__ columns() {
#pragma unroll
        for (int k = 0; k < W; k++) at[k] = 0;
    }
    __device__ void add(const T* row) {
        if constexpr (W == 1) {
            at[0] += load(*row);
        } else {
            const pack<T> values = load16(row);
#pragma unroll
            for (int k = 0; k < W; k++) at[k] += load(values.at[k]);
        }
    }
    __device__ void store(T* row) const {
        if constexpr (W == 1) {
            *row = rounded<T>(at[0]);
        } else {
            pack<T> values;
#pragma unroll
            for (int k = 0; k < W; k++) values.at[k] = rounded<T>(at[k]);
            store16(row, values);
        }
    }
};

// A thread for each sorted item and W columns; it works if the item begins a piece of a run. A run of at most PIECE items is one
// piece. A longer one is cut into pieces of PIECE, or of the next power of two from the root of its length on; each leaves its sum
// in `partial`, and whoever comes last adds these up in the order of the pieces.
// Slots of partial: within a run the pieces, and between runs the first pieces, begin at least PIECE items apart.
template <class T, class U, int W> __device__ void sum_runs(T* out, const T* g, const U* keys, const U* places, i64 n, i64 width,
                                                            i64 rows, acc<T>* partial, u32* tickets) {
    const i64 groups = width / W;
    for (i64 t = thread_index(); t < n * groups; t += thread_count()) {
        const i64 item = t / groups, column = (t - item * groups) * W;
        const U key = keys[item];
        const bool first = item == 0 || keys[item - 1] != key;
        if ((i64)key == rows || (!first && (item < PIECE || keys[item - PIECE] != key))) continue;
        const bool one = first && (item + PIECE >= n || keys[item + PIECE] != key);
        i64 begin = item, end = item + PIECE < n ? item + PIECE : n, piece = PIECE;
        if (one) {
            end = boundary(keys, item, end, key, true);
        } else {
            begin = boundary(keys, i64(0), item, key, false);
            end = boundary(keys, item, n, key, true);
            while (piece * piece < end - begin) piece *= 2;
            if ((item - begin) % piece) continue;
        }
        const i64 last = one || item + piece > end ? end : item + piece;
        columns<T, W> sum;
#pragma unroll 4
        for (i64 i = item; i < last; i++) sum.add(g + (i64)places[i] * width + column);
        if (!one) {
            acc<T>* slot = partial + (item / PIECE * 2 + first) * width + column;
#pragma unroll
            for (int k = 0; k < W; k++) slot[k] = sum.at[k];
            __threadfence();
            const u32 pieces = (u32)((end - begin + piece - 1) / piece);
            if (atomicAdd(&tickets[begin / PIECE * groups + column / W], 1u) != pieces - 1) continue;
            __threadfence();
            sum = columns<T, W>();
            for (i64 i = begin; i < end; i += piece) {
                const volatile acc<T>* part = partial + (i / PIECE * 2 + (i == begin)) * width + column;
#pragma unroll
                for (int k = 0; k < W; k++) sum.at[k] += part[k];
            }
        }
        sum.store(out + (i64)key * width + column);
    }
}

// ---- entry points -----------------------------------------------------------------------------------------------------

#define SORT(suffix, U)                                                                                                   \
    extern "C" __global__ void embedding_grad_count_##suffix(U* counts, const U* keys, i64 n, i64 shift, i64 tiles) {     \
        count_digits(counts, keys, n, shift, tiles);                                                                      \
    }                                                                                                                     \
    extern "C" __global__ void embedding_grad_scan_##suffix(U* counts, U* totals, i64 tiles) {                            \
        sum_counts(counts, totals, tiles);                                                                                \
    }                                                                                                                     \
    extern "C" __global__ void embedding_grad_move_##suffix(U* keys_out, U* places_out, const U* keys, const U* places,   \
                                                            i64 n, i64 shift, const U* counts, const U* totals,           \
                                                            i64 tiles) {                                                  \
        move_to_digit(keys_out, places_out, keys, places, n, shift, counts, totals, tiles);                               \
    }
SORT(u32, u32)
SORT(u64, u64)

#define KEYS(suffix, U, index, I)                                                                                         \
    extern "C" __global__ void embedding_grad_keys_##suffix##_##index(                                                    \
        U* keys, const I* indices, i64 n, i64 rows, i64 low, i64 padding, u32* tickets, i64 ticket_count, i64* fault,     \
        i64 kind) {                                                                                                       \
        make_keys(keys, indices, n, rows, low, padding, tickets, ticket_count, fault, kind);                              \
    }
KEYS(u32, u32, i32, int)
KEYS(u32, u32, i64, i64)
KEYS(u64, u64, i32, int)
KEYS(u64, u64, i64, i64)

#define SUM(name, T, suffix, U)                                                                                           \
    extern "C" __global__ void embedding_grad_sum_##suffix##_##name(T* out, const T* g, const U* keys, const U* places,   \
                                                                    i64 n, i64 width, i64 rows, acc<T>* partial,          \
                                                                    u32* tickets) {                                       \
        if (aligned16(out, g) && width % pack<T>::size == 0)                                                              \
            sum_runs<T, U, pack<T>::size>(out, g, keys, places, n, width, rows, partial, tickets);                        \
        else                                                                                                              \
            sum_runs<T, U, 1>(out, g, keys, places, n, width, rows, partial, tickets);                                    \
    }
#define BOTH(name, T) SUM(name, T, u32, u32) SUM(name, T, u64, u64)
ENTRIES(BOTH)
BOTH(i64, u64)
