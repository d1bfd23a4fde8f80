#include "tensorlite.cuh"
// Rows of any type, copied in the widest accesses that the addresses and the length of a row allow. An index out of range gives zeros.

// a warp copies one wide row, or several narrow ones
template <class Unit, class I> __device__ void take(Unit* out, const Unit* table, const I* indices, i64 n, i64 units, i64 rows,
                                                    i64 low, i64* fault, i64 kind) {
    int shift = 0;
    while (1 << shift < units && shift < 5) shift++;
    const int lanes = 1 << shift, lane = threadIdx.x & (lanes - 1);
    for (i64 i = thread_index() >> shift; i < n; i += thread_count() >> shift) {
        i64 row = (i64)indices[i];
        const bool valid = row >= low && row < rows;
        if (!valid && lane == 0) report(fault, kind, row, i, rows);
        if (row < 0) row += rows;
        const Unit* from = table + row * units;
        Unit* to = out + i * units;
        i64 k = lane;
        for (; valid && k + 3 * lanes < units; k += 4 * lanes) {   // four reads under way
            const Unit a = from[k], b = from[k + lanes], c = from[k + 2 * lanes], d = from[k + 3 * lanes];
            to[k] = a, to[k + lanes] = b, to[k + 2 * lanes] = c, to[k + 3 * lanes] = d;
        }
#pragma unroll 1
        for (; k < units; k += lanes) to[k] = valid ? from[k] : Unit();
    }
}

template <class I> __device__ void take_bytes(char* out, const char* table, const I* indices, i64 n, i64 bytes, i64 rows, i64 low,
                                              i64* fault, i64 kind) {
    const u64 bits = (u64)out | (u64)table | (u64)bytes;
#define TAKE(Unit)                                                                                                        \
    if (bits % sizeof(Unit) == 0)                                                                                         \
        return take((Unit*)out, (const Unit*)table, indices, n, bytes / (i64)sizeof(Unit), rows, low, fault, kind);
    TAKE(uint4)
    TAKE(u64)
    TAKE(u32)
    TAKE(unsigned short)
    TAKE(unsigned char)
}

#define ENTRY(suffix, I)                                                                                                  \
    extern "C" __global__ void take_rows_##suffix(char* out, const char* table, const I* indices, i64 n, i64 bytes,       \
                                                  i64 rows, i64 low, i64* fault, i64 kind) {                              \
        take_bytes(out, table, indices, n, bytes, rows, low, fault, kind);                                                \
    }
ENTRY(i32, int)
ENTRY(i64, i64)
