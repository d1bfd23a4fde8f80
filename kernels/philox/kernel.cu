#include "tensorlite.cuh"
#include "philox.cuh"

// Compiled without contraction (-fmad=false): the CPU's numbers, bit for bit. seed, stream and block are unsigned 64-bit
// numbers that arrive as `long long`.

typedef unsigned char boolean;

// f(at, words) writes the `per` elements of a block; a thread makes 16 bytes at a time.
template <int per, class T, class F> __device__ inline void fill(T* out, i64 n, u64 seed, u64 stream, u64 first, F f) {
    constexpr int width = pack<T>::size, blocks = width / per;
    const bool vector = aligned16(out);
    for (i64 i = thread_index(); i * width < n; i += thread_count()) {
        pack<T> made;
#pragma unroll
        for (int j = 0; j < blocks; j++) f(made.at + j * per, philox(first + (u64)i * blocks + j, stream, seed));
        if (vector && (i + 1) * width <= n) {
            store16(out + i * width, made);
        } else {
#pragma unroll
            for (int k = 0; k < width; k++)
                if (i * width + k < n) out[i * width + k] = made.at[k];
        }
    }
}

// ---- normal numbers: the numbered steps of the package's text --------------------------------------------------------

template <class R> struct series;
template <> struct series<float> {
    typedef u32 draw;
    typedef int signed_draw;
    static constexpr int bits = 32;
    static constexpr u32 root = 3037000499u;   // floor(sqrt(2) 2^31)
    static constexpr float unit = (float)2.3283064365386963e-10, angle = (float)1.4629180792671596e-09;
    static __device__ int leading_zeros(u32 a) { return __clz((int)a); }
    static __device__ float log(float z) {
        float p = (float)(1.0 / 9);
        p = p * z + (float)(1.0 / 7);
        p = p * z + (float)(1.0 / 5);
        p = p * z + (float)(1.0 / 3);
        return p * z + 1.0f;
    }
    static __device__ float sine(float z) {
        float p = (float)(1.0 / 362880);
        p = p * z + (float)(-1.0 / 5040);
        p = p * z + (float)(1.0 / 120);
        p = p * z + (float)(-1.0 / 6);
        return p * z + 1.0f;
    }
    static __device__ float cosine(float z) {
        float p = (float)(1.0 / 40320);
        p = p * z + (float)(-1.0 / 720);
        p = p * z + (float)(1.0 / 24);
        p = p * z + (float)(-1.0 / 2);
        return p * z + 1.0f;
    }
};
template <> struct series<double> {
    typedef u64 draw;
    typedef i64 signed_draw;
    static constexpr int bits = 64;
    static constexpr u64 root = 13043817825332782212ull;   // floor(sqrt(2) 2^63)
    static constexpr double unit = 5.421010862427522e-20, angle = 3.4061215800865545e-19;
    static __device__ int leading_zeros(u64 a) { return __clzll((i64)a); }
    static __device__ double log(double z) {
        double p = 1.0 / 19;
        p = p * z + 1.0 / 17;
        p = p * z + 1.0 / 15;
        p = p * z + 1.0 / 13;
        p = p * z + 1.0 / 11;
        p = p * z + 1.0 / 9;
        p = p * z + 1.0 / 7;
        p = p * z + 1.0 / 5;
        p = p * z + 1.0 / 3;
        return p * z + 1.0;
    }
    static __device__ double sine(double z) {
        double p = -1.0 / 1307674368000;
        p = p * z + 1.0 / 6227020800;
        p = p * z + -1.0 / 39916800;
        p = p * z + 1.0 / 362880;
        p = p * z + -1.0 / 5040;
        p = p * z + 1.0 / 120;
        p = p * z + -1.0 / 6;
        return p * z + 1.0;
    }
    static __device__ double cosine(double z) {
        double p = 1.0 / 20922789888000;
        p = p * z + -1.0 / 87178291200;
        p = p * z + 1.0 / 479001600;
        p = p * z + -1.0 / 3628800;
        p = p * z + 1.0 / 40320;
        p = p * z + -1.0 / 720;
        p = p * z + 1.0 / 24;
        p = p * z + -1.0 / 2;
        return p * z + 1.0;
    }
};
__device__ inline float square_root(float x) { return __fsqrt_rn(x); }
__device__ inline double square_root(double x) { return __dsqrt_rn(x); }

template <class R> __device__ inline void box_muller(R* out, typename series<R>::draw a, typename series<R>::draw b, R mean, R std) {
    typedef series<R> S;
    typedef typename S::draw U;
    typedef typename S::signed_draw I;
    constexpr U half = (U)1 << (S::bits - 1), eighth = (U)1 << (S::bits - 3), quarter = (U)1 << (S::bits - 2);
    a = a ? a : 1;
    const int zeros = S::leading_zeros(a);
    a <<= zeros;
    const bool lower = a < S::root;
    const R f = (R)(I)(lower ? a - half : a) * ((lower ? R(2) : R(1)) * S::unit);   // as signed numbers: a - 2^bits is a's bits
    const R s = f / (f + R(2));
    const R k = (R)(zeros + (int)lower);
    const R r = square_root(k * R(1.3862943611198906) - s * S::log(s * s) * R(4)) * std;
    const int q = (int)(b >> (S::bits - 2));
    const R t = (R)((I)(b & (quarter - 1)) - (I)eighth) * S::angle;
    const R sine = t * S::sine(t * t), cosine = S::cosine(t * t), radius = q < 2 ? r : -r;
    out[0] = radius * (q & 1 ? -sine : cosine) + mean;
    out[1] = radius * (q & 1 ? cosine : sine) + mean;
}

// ---- entry points ------------------------------------------------------------------------------------------------------

#define PLACE i64 n, i64 seed, i64 stream, i64 first

extern "C" __global__ void philox_bits_uint32(u32* out, PLACE) {
    fill<4>(out, n, seed, stream, first, [](u32* at, const words& w) {
        for (int k = 0; k < 4; k++) at[k] = w.at[k];
    });
}
extern "C" __global__ void philox_bits_uint64(u64* out, PLACE) {
    fill<2>(out, n, seed, stream, first, [](u64* at, const words& w) {
        for (int k = 0; k < 2; k++) at[k] = joined(w.at[2 * k], w.at[2 * k + 1]);
    });
}
extern "C" __global__ void philox_uniform_float32(float* out, PLACE, i64 bits, double low, double high, double span) {
    const float unit = __uint_as_float((u32)(127 - bits) << 23), from = (float)low, to = (float)high, by = (float)span;
    const int shift = 32 - (int)bits;
    fill<4>(out, n, seed, stream, first, [=](float* at, const words& w) {
        for (int k = 0; k < 4; k++) {
            const float x = (float)(w.at[k] >> shift) * unit * by + from;
            at[k] = x < to ? x : from;
        }
    });
}
extern "C" __global__ void philox_uniform_float64(double* out, PLACE, i64, double low, double high, double span) {
    fill<2>(out, n, seed, stream, first, [=](double* at, const words& w) {
        for (int k = 0; k < 2; k++) {
            const double x = (double)(i64)(joined(w.at[2 * k], w.at[2 * k + 1]) >> 11) * 1.1102230246251565e-16 * span + low;
            at[k] = x < high ? x : low;
        }
    });
}
extern "C" __global__ void philox_normal_float32(float* out, PLACE, double mean, double std) {
    const float m = (float)mean, s = (float)std;
    fill<4>(out, n, seed, stream, first, [=](float* at, const words& w) {
        box_muller(at, w.at[0], w.at[1], m, s);
        box_muller(at + 2, w.at[2], w.at[3], m, s);
    });
}
extern "C" __global__ void philox_normal_float64(double* out, PLACE, double mean, double std) {
    fill<2>(out, n, seed, stream, first, [=](double* at, const words& w) {
        box_muller(at, joined(w.at[0], w.at[1]), joined(w.at[2], w.at[3]), mean, std);
    });
}
extern "C" __global__ void philox_integers(u64* out, PLACE, i64 low, i64 span) {   // span <= 2^32
    fill<2>(out, n, seed, stream, first, [=](u64* at, const words& w) {
        for (int k = 0; k < 2; k++)
            at[k] = ((w.at[2 * k + 1] * (u64)span + (w.at[2 * k] * (u64)span >> 32)) >> 32) + (u64)low;
    });
}
extern "C" __global__ void philox_wide_integers(u64* out, PLACE, i64 low, i64 span) {   // a span of 2^64 arrives as 0
    fill<1>(out, n, seed, stream, first, [=](u64* at, const words& w) {
        const u64 a = joined(w.at[0], w.at[1]), b = joined(w.at[2], w.at[3]), s = (u64)span, part = b * s;
        const u64 sum = part + __umul64hi(a, s);
        at[0] = (s ? __umul64hi(b, s) + (sum < part) : b) + (u64)low;
    });
}
extern "C" __global__ void philox_bernoulli(boolean* out, PLACE, i64 threshold) {
    fill<4>(out, n, seed, stream, first, [=](boolean* at, const words& w) {
        for (int k = 0; k < 4; k++) at[k] = w.at[k] < (u64)threshold;
    });
}
