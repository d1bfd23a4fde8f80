#include "tensorlite.cuh"
// Rows written where indices say. Each row of the result first learns the number of the last value meant for it, the largest one:
// an atomic maximum of integers, the same in any order. Then that value alone is written.

// last[row]: number of the last value for the row, from 1 on; 0 where there is none
template <class I> __device__ void find_last(u64* last, const I* indices, i64 n, i64 rows, i64 low, i64* fault, i64 kind) {
    for (i64 i = thread_index(); i < n; i += thread_count()) {
        const i64 row = (i64)indices[i];
        if (row < low || row >= rows) report(fault, kind, row, i, rows);
        else atomicMax(&last[row < 0 ? row + rows : row], (u64)i + 1);
    }
}

// whether value i is the last one for its row
template <class I> __device__ bool stays(const u64* last, const I* indices, i64 i, i64 rows, i64 low, i64& row) {
    row = (i64)indices[i];
    if (row < low || row >= rows) return false;
    if (row < 0) row += rows;
    return last[row] == (u64)i + 1;
}

template <class Unit, class I> __device__ void put(Unit* out, const Unit* v, const u64* last, const I* indices, i64 n, i64 units,
                                                   i64 rows, i64 low) {
    int shift = 0;   // 1 << shift threads a row
    while (1 << shift < units && shift < 5) shift++;
    const int lanes = 1 << shift, lane = threadIdx.x & (lanes - 1);
    for (i64 i = thread_index() >> shift; i < n; i += thread_count() >> shift) {
        i64 row;
        if (!stays(last, indices, i, rows, low, row)) continue;
        const Unit* from = v + i * units;
        Unit* to = out + row * units;
        i64 k = lane;
        for (; k + 3 * lanes < units; k += 4 * lanes) {   // four reads under way
            const Unit a = from[k], b = from[k + lanes], c = from[k + 2 * lanes], d = from[k + 3 * lanes];
            to[k] = a, to[k + lanes] = b, to[k + 2 * lanes] = c, to[k + 3 * lanes] = d;
        }
#pragma unroll 1
        for (; k < units; k += lanes) to[k] = from[k];
    }
}

template <class I> __device__ void put_bytes(char* out, const char* v, const u64* last, const I* indices, i64 n, i64 bytes,
                                             i64 rows, i64 low) {
    const u64 bits = (u64)out | (u64)v | (u64)bytes;
#define PUT(Unit)                                                                                                         \
    if (bits % sizeof(Unit) == 0)                                                                                         \
        return put((Unit*)out, (const Unit*)v, last, indices, n, bytes / (i64)sizeof(Unit), rows, low);
    PUT(uint4)
    PUT(u64)
    PUT(u32)
    PUT(unsigned short)
    PUT(unsigned char)
}

#define ENTRY(suffix, I)                                                                                                  \
    extern "C" __global__ void put_rows_last_##suffix(u64* last, const I* indices, i64 n, i64 rows, i64 low, i64* fault,  \
                                                      i64 kind) {                                                         \
        find_last(last, indices, n, rows, low, fault, kind);                                                              \
    }                                                                                                                     \
    extern "C" __global__ void put_rows_write_##suffix(char* out, const char* v, const u64* last, const I* indices,       \
                                                       i64 n, i64 bytes, i64 rows, i64 low) {                             \
        put_bytes(out, v, last, indices, n, bytes, rows, low);                                                            \
    }                                                                                                                     \
    extern "C" __global__ void put_rows_winners_##suffix(unsigned char* out, const u64* last, const I* indices, i64 n,    \
                                                         i64 rows, i64 low) {                                             \
        i64 row;                                                                                                          \
        for (i64 i = thread_index(); i < n; i += thread_count()) out[i] = stays(last, indices, i, rows, low, row);        \
    }
ENTRY(i32, int)
ENTRY(i64, i64)
