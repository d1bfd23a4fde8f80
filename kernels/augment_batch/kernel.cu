#include "tensorlite.cuh"
// A batch of images, moved, mirrored, cut and normalised. Compiled without fusing products and sums: it gives the CPU's bits.

__device__ inline float load(unsigned char x) { return (float)x; }

struct sizes { i64 channels, height, width, rows, columns, cut, images; };

// The value of output element (channel, y, x) of an image whose moves are m = (down, right, mirrored, cut_row, cut_column).
template <class In>
__device__ inline float pixel(const In* image, const int* m, const sizes& s, i64 channel, i64 y, i64 x, float filling) {
    const i64 from_y = y + m[0], from_x = (m[2] ? s.columns - 1 - x : x) + m[1];
    const bool cut = y >= m[3] && y < m[3] + s.cut && x >= m[4] && x < m[4] + s.cut;
    const bool outside = cut || from_y < 0 || from_y >= s.height || from_x < 0 || from_x >= s.width;
    return outside ? filling : load(image[(channel * s.height + from_y) * s.width + from_x]);
}

// A thread for 16 bytes of a row of the result, or for one element where rows do not consist of such.
template <class In, class Out, class I>
__device__ void augment(Out* out, const In* images, const I* indices, const int* moves, i64 n, sizes s, const float* fills,
                        const float* factors, const float* offsets, i64 *fault, i64 kind) {
    constexpr int packed = pack<Out>::size;
    const bool wide = aligned16(out) && s.columns % packed == 0;
    const i64 step = wide ? packed : 1, across = s.columns / step, per_image = s.channels * s.rows * across;
    for (i64 t = thread_index(); t < n * per_image; t += thread_count()) {
        const i64 i = t / per_image, within = t - i * per_image;
        const i64 line = within / across, x = (within - line * across) * step, channel = line / s.rows, y = line - channel * s.rows;
        i64 row = (i64)indices[i];
        const bool valid = row >= -s.images && row < s.images;
        if (!valid && within == 0) report(fault, kind, row, i, s.images);
        if (row < 0) row += s.images;
        const In* image = images + (valid ? row : 0) * s.channels * s.height * s.width;
        const float factor = factors[channel], filling = fills[channel], offset = offsets ? offsets[channel] : 0.0f;
        const auto value = [&](i64 at) {
            const float product = pixel(image, moves + 5 * i, s, channel, y, at, filling) * factor;
            return rounded<Out>(offsets ? product + offset : product);   // -0 + 0 would be 0
        };
        if (!wide) {
            out[t] = value(x);
            continue;
        }
        pack<Out> result;
#pragma unroll
        for (int j = 0; j < packed; j++) result.at[j] = value(x + j);
        store16(out + t * packed, result);
    }
}

#define ENTRY(in, In, out_, Out, index, I)                                                                                    \
    extern "C" __global__ void augment_batch_##in##_##out_##_##index(                                                         \
        Out* out, const In* images, const I* indices, const int* moves, i64 n, i64 channels, i64 height, i64 width, i64 rows, \
        i64 columns, i64 cut, i64 count, const float* fills, const float* factors, const float* offsets, i64* fault,          \
        i64 kind) {                                                                                                           \
        augment(out, images, indices, moves, n, sizes{channels, height, width, rows, columns, cut, count}, fills, factors,    \
                offsets, fault, kind);                                                                                        \
    }
#define INDICES(in, In, out, Out) ENTRY(in, In, out, Out, i32, int) ENTRY(in, In, out, Out, i64, i64)
#define TO(in, In) INDICES(in, In, f32, float) INDICES(in, In, f16, f16) INDICES(in, In, bf16, bf16)
TO(u8, unsigned char)
TO(f32, float)
