// What every CUDA kernel of tensorlite starts with. No header is included, so NVRTC needs no include path; the same text
// compiles for the CPU with TENSORLITE_ON_CPU defined, where the tests run it.
//
// Entry points are extern "C", named <kernel>_<f32|f16|bf16|f64>, and take pointers, `long long` and `double` only: what
// Python's arrays, integers and floats become without a conversion. A null pointer is passed as the integer 0.
#pragma once

typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

// ---- element types: stored as they are, computed in `acc<T>` --------------------------------------------------------

struct f16 { unsigned short bits; };
struct bf16 { unsigned short bits; };

#ifdef TENSORLITE_ON_CPU
__device__ inline float to_float(f16 h) {
    u32 sign = (u32)(h.bits & 0x8000) << 16, exponent = (h.bits >> 10) & 31, mantissa = h.bits & 1023;
    if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | (mantissa << 13));
    if (exponent) return __uint_as_float(sign | ((exponent + 112) << 23) | (mantissa << 13));
    float small = (float)mantissa * 5.9604644775390625e-8f;   // 2^-24
    return sign ? -small : small;
}
__device__ inline f16 to_f16(float x) {
    u32 bits = __float_as_uint(x), sign = (bits >> 16) & 0x8000, rest = bits & 0x7fffffff;
    f16 out;
    if (rest > 0x7f800000u) { out.bits = (unsigned short)(sign | 0x7e00); return out; }
    if (rest >= 0x477ff000u) { out.bits = (unsigned short)(sign | 0x7c00); return out; }   // from 65520 on
    if (rest < 0x38800000u) {                                                               // below 2^-14
        float scaled = __uint_as_float(rest) * 16777216.0f;                                 // 2^24
        u32 whole = (u32)scaled;
        float part = scaled - (float)whole;
        whole += part > 0.5f || (part == 0.5f && (whole & 1));
        out.bits = (unsigned short)(sign | whole);
        return out;
    }
    u32 rounded = rest - 0x38000000u + 0xfff + ((rest >> 13) & 1);
    out.bits = (unsigned short)(sign | (rounded >> 13));
    return out;
}
#else
__device__ inline float to_float(f16 h) { float f; asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h.bits)); return f; }
__device__ inline f16 to_f16(float x) { f16 h; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h.bits) : "f"(x)); return h; }
#endif

__device__ inline float to_float(bf16 h) { return __uint_as_float((u32)h.bits << 16); }
__device__ inline bf16 to_bf16(float x) {
    bf16 h;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h.bits) : "f"(x));
#else
    u32 bits = __float_as_uint(x);
    h.bits = (unsigned short)((bits & 0x7fffffff) > 0x7f800000u ? 0x7fff : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
#endif
    return h;
}

template <class T> struct accumulator { typedef float type; };
template <> struct accumulator<double> { typedef double type; };
template <class T> using acc = typename accumulator<T>::type;   // what elements of T are computed in

__device__ inline float load(float x) { return x; }
__device__ inline double load(double x) { return x; }
__device__ inline float load(f16 x) { return to_float(x); }
__device__ inline float load(bf16 x) { return to_float(x); }
template <class T> __device__ inline T rounded(acc<T> x);   // back to the element type
template <> __device__ inline float rounded<float>(float x) { return x; }
template <> __device__ inline double rounded<double>(double x) { return x; }
template <> __device__ inline f16 rounded<f16>(float x) { return to_f16(x); }
template <> __device__ inline bf16 rounded<bf16>(float x) { return to_bf16(x); }

// One entry point an element type: ENTRIES(X) calls X(suffix, type) for each.
#define ENTRIES(X) X(f32, float) X(f16, f16) X(bf16, bf16) X(f64, double)

// ---- 16-byte accesses ------------------------------------------------------------------------------------------------

template <class T> struct alignas(16) pack {
    static constexpr int size = 16 / sizeof(T);
    T at[size];
};
template <class T> __device__ inline pack<T> load16(const T* p) {
    union { uint4 bits; pack<T> values; } u;
    u.bits = *reinterpret_cast<const uint4*>(p);
    return u.values;
}
// To global memory. In PTX, as the compiler makes four stores of a plain one whose address it cannot see to be aligned.
template <class T> __device__ inline void store16(T* p, const pack<T>& values) {
    union { uint4 bits; pack<T> values; } u;
    u.values = values;
#ifdef TENSORLITE_ON_CPU
    *reinterpret_cast<uint4*>(p) = u.bits;
#else
    asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};"
                 ::"l"(__cvta_generic_to_global(p)), "r"(u.bits.x), "r"(u.bits.y), "r"(u.bits.z), "r"(u.bits.w) : "memory");
#endif
}
__device__ inline bool aligned16(const void* p) { return ((u64)p & 15) == 0; }
template <class... P> __device__ inline bool aligned16(const void* p, P... rest) { return aligned16(p) && aligned16(rest...); }

// ---- where a thread is ----------------------------------------------------------------------------------------------

__device__ inline i64 thread_index() { return (i64)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ inline i64 thread_count() { return (i64)gridDim.x * blockDim.x; }

// out[i] = f(in0[i], in1[i], ...) over contiguous arrays: 16 bytes an access where all are aligned, the rest one by one.
// f takes and returns acc<T>.
template <class T, class F, class... In> __device__ inline void map_elements(T* out, i64 n, F f, const In*... in) {
    constexpr int width = pack<T>::size;
    const i64 packs = aligned16(out, in...) ? n / width : 0;
    for (i64 i = thread_index(); i < packs; i += thread_count()) {
        pack<T> result;
        auto at = [&](auto... given) {
#pragma unroll
            for (int k = 0; k < width; k++) result.at[k] = rounded<T>(f(load(given.at[k])...));
        };
        at(load16(in + i * width)...);
        store16(out + i * width, result);
    }
    for (i64 i = packs * width + thread_index(); i < n; i += thread_count()) out[i] = rounded<T>(f(load(in[i])...));
}

// ---- sums and maxima over a warp and over a block -------------------------------------------------------------------

struct plus { template <class A> __device__ A operator()(A a, A b) const { return a + b; } };
struct largest { template <class A> __device__ A operator()(A a, A b) const { return a > b || a != a ? a : b; } };   // NaN wins

template <class A, class F> __device__ inline A warp_reduce(A value, F f) {
#pragma unroll
    for (int step = 16; step; step >>= 1) value = f(value, __shfl_xor_sync(0xffffffffu, value, step));
    return value;
}
// Over the block, the result in every thread. `shared` has room for 33 values; blockDim.x is a multiple of 32; all threads call it.
template <class A, class F> __device__ inline A block_reduce(A value, A neutral, A* shared, F f) {
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = (blockDim.x + 31) >> 5;
    value = warp_reduce(value, f);
    if (lane == 0) shared[warp] = value;
    __syncthreads();
    if (warp == 0) {
        value = warp_reduce(lane < warps ? shared[lane] : neutral, f);
        if (lane == 0) shared[32] = value;
    }
    __syncthreads();
    value = shared[32];
    __syncthreads();   // before the room is used again
    return value;
}

// ---- faults ----------------------------------------------------------------------------------------------------------
// A kernel that meets an index out of range says so in host memory that the device can write (see kernels/_cuda.py); the
// first one counts. words: kind, three numbers, claim.

__device__ inline void report(i64* fault, i64 kind, i64 a, i64 b, i64 c) {
    if (atomicCAS((u64*)fault + 4, 0ull, 1ull) == 0ull) {
        volatile i64* words = fault;
        words[1] = a; words[2] = b; words[3] = c;
        __threadfence_system();
        words[0] = kind;
    }
}
