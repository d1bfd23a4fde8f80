#include "tensorlite.cuh"
// A batch of a data set, as normalised floats. Compiled without fusing products and sums, so that it gives the CPU's bits.

__device__ inline float load(unsigned char x) { return (float)x; }
__device__ inline i64 quotient(i64 a, i64 b) { return (a | b) >> 31 ? a / b : (i64)((u32)a / (u32)b); }   // of numbers >= 0

struct normalize {   // elements of one channel
    float factor, offset;
    bool adds;
    __device__ normalize(const float* factors, const float* offsets, i64 channel)
        : factor(factors[channel]), offset(offsets ? offsets[channel] : 0.0f), adds(offsets) {}
    __device__ float operator()(float x) const {
        const float product = x * factor;
        return adds ? product + offset : product;   // -0 + 0 would be 0
    }
};

// A warp for a row. Where the addresses and the lengths allow, in chunks of as many elements as the narrower type has in 16 bytes.
template <class In, class Out, class I> __device__ void gather(Out* out, const In* images, const I* indices, i64 n, i64 width, i64 rows,
                                                               const float* factors, const float* offsets, i64 inner, i64* fault,
                                                               i64 kind) {
    constexpr int in_pack = pack<In>::size, out_pack = pack<Out>::size, chunk = in_pack > out_pack ? in_pack : out_pack;
    const bool wide = aligned16(out, images) && width % chunk == 0 && inner % chunk == 0;
    const int lane = threadIdx.x & 31;
    for (i64 i = thread_index() >> 5; i < n; i += thread_count() >> 5) {
        i64 row = (i64)indices[i];
        const bool valid = row >= -rows && row < rows;
        if (!valid && lane == 0) report(fault, kind, row, i, rows);
        if (row < 0) row += rows;
        const In* from = images + (valid ? row * width : 0);
        Out* to = out + i * width;
#pragma unroll 1
        for (i64 k = lane; !wide && k < width; k += 32)
            to[k] = rounded<Out>(normalize(factors, offsets, inner == width ? 0 : quotient(k, inner))(load(from[k])));
#pragma unroll 1
        for (i64 k = (i64)lane * chunk; wide && k < width; k += 32 * chunk) {
            pack<In> in[chunk / in_pack];
#pragma unroll
            for (int p = 0; p < chunk / in_pack; p++) in[p] = load16(from + k + p * in_pack);
            const normalize value(factors, offsets, inner == width ? 0 : quotient(k, inner));
#pragma unroll
            for (int p = 0; p < chunk / out_pack; p++) {
                pack<Out> result;
#pragma unroll
                for (int j = 0; j < out_pack; j++) {
                    const int at = p * out_pack + j;
                    result.at[j] = rounded<Out>(value(load(in[at / in_pack].at[at % in_pack])));
                }
                store16(to + k + p * out_pack, result);
            }
        }
    }
}

#define ENTRY(in, In, out_, Out, index, I)                                                                                \
    extern "C" __global__ void gather_batch_##in##_##out_##_##index(                                                      \
        Out* out, const In* images, const I* indices, i64 n, i64 width, i64 rows, const float* factors,                   \
        const float* offsets, i64 inner, i64* fault, i64 kind) {                                                          \
        gather(out, images, indices, n, width, rows, factors, offsets, inner, fault, kind);                               \
    }
#define INDICES(in, In, out, Out) ENTRY(in, In, out, Out, i32, int) ENTRY(in, In, out, Out, i64, i64)
#define TO(in, In) INDICES(in, In, f32, float) INDICES(in, In, f16, f16) INDICES(in, In, bf16, bf16)
TO(u8, unsigned char)
TO(f32, float)
