// CUDA C++ for the CPU, included before a .cu text: the language's keywords, built-in variables, vector types, device functions.
// The threads of a block are fibers of one OS thread, and blocks run one after another (emulator.cpp).
// What it does not have: texture and surface memory, inline PTX, dynamic parallelism, cooperative groups, header files of CUDA.
#pragma once
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

// ---- keywords ----------------------------------------------------------------------------------------------------------

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __managed__ static
#define __grid_constant__
#define __forceinline__ __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#ifndef __clang__
#define __builtin_assume(condition) ((void)0)
#endif
// Zero-initialised, so in .bss, with nothing else and from a page's beginning on: it is filled with garbage before each block.
// (A section of its own would be cleaner, but GCC puts no variable of a template into one: its bug 41091.)
#define __shared__ static __attribute__((used))   // else what is only read would be taken for 0
asm(".pushsection .bss\n.balign 4096\n.globl emulator_shared\n.hidden emulator_shared\nemulator_shared:\n.popsection");

// ---- built-in types and variables ---------------------------------------------------------------------------------------

#define EMULATOR_VECTOR(name, T)                                                                                              \
    struct name##1 { T x; };                                                                                                  \
    struct alignas(2 * sizeof(T)) name##2 { T x, y; };                                                                        \
    struct name##3 { T x, y, z; };                                                                                            \
    struct alignas(sizeof(T) == 8 ? 16 : 4 * sizeof(T)) name##4 { T x, y, z, w; };                                            \
    inline name##1 make_##name##1(T x) { return {x}; }                                                                        \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; }                                                                \
    inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }                                                        \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
EMULATOR_VECTOR(char, signed char)
EMULATOR_VECTOR(uchar, unsigned char)
EMULATOR_VECTOR(short, short)
EMULATOR_VECTOR(ushort, unsigned short)
EMULATOR_VECTOR(int, int)
EMULATOR_VECTOR(uint, unsigned)
EMULATOR_VECTOR(long, long)
EMULATOR_VECTOR(ulong, unsigned long)
EMULATOR_VECTOR(longlong, long long)
EMULATOR_VECTOR(ulonglong, unsigned long long)
EMULATOR_VECTOR(float, float)
EMULATOR_VECTOR(double, double)
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

#define EMULATOR_API __attribute__((visibility("default")))   // kernels' libraries link with the emulator's
extern EMULATOR_API uint3 threadIdx, blockIdx;
extern EMULATOR_API dim3 blockDim, gridDim;
constexpr int warpSize = 32;

// ---- what emulator.cpp does -------------------------------------------------------------------------------------------

namespace emulator {
typedef unsigned long long u64;
enum Operation {
    shuffle, shuffle_up, shuffle_down, shuffle_xor, ballot, match_any, match_all, sync_warp,
    add, min_signed, min_unsigned, max_signed, max_unsigned, bit_and, bit_or, bit_xor, operations
};
struct Site { const char* file; int line; };   // where in the source
struct Parameter { int size; char kind; };   // kind: p pointer, i signed, u unsigned, f floating-point, s anything else
struct Kernel {
    const char* name;
    void (*invoke)(void** arguments);
    const Parameter* parameters;
    int count, max_threads;                  // max_threads: of __launch_bounds__, or 0
};
struct Module { const Kernel* kernels; unsigned char *shared, *shared_end; };   // and its static shared memory
EMULATOR_API extern unsigned char* const dynamic_shared;
EMULATOR_API int barrier(int predicate, Site site, int operation);   // operation: 0 wait, 1 count, 2 and, 3 or
EMULATOR_API u64 collective(Operation operation, unsigned mask, u64 value, unsigned lane, unsigned width, Site site);
EMULATOR_API unsigned active_mask();
EMULATOR_API void fence();
[[noreturn]] EMULATOR_API void trap(const char* why, Site site);

template <class To, class From> inline To bits(From value) {
    static_assert(sizeof(To) == sizeof(From), "bit casts keep the size");
    To out;
    memcpy(&out, &value, sizeof(out));
    return out;
}
template <class T> inline T exchange(Operation operation, unsigned mask, T value, unsigned lane, unsigned width, Site site) {
    static_assert(sizeof(T) <= 8, "shuffles move at most 8 bytes");
    u64 word = 0;
    memcpy(&word, &value, sizeof(T));
    word = collective(operation, mask, word, lane, width, site);
    memcpy(&value, &word, sizeof(T));
    return value;
}

template <class T> struct parameter { static constexpr char kind = T(-1) < T(0) ? 'i' : 'u'; };
template <class T> struct parameter<T*> { static constexpr char kind = 'p'; };
template <> struct parameter<float> { static constexpr char kind = 'f'; };
template <> struct parameter<double> { static constexpr char kind = 'f'; };
template <class T, bool = __is_class(T) || __is_union(T)> struct describe {
    static constexpr Parameter value = {(int)sizeof(T), parameter<T>::kind};
};
template <class T> struct describe<T, true> { static constexpr Parameter value = {(int)sizeof(T), 's'}; };
template <int... I> struct indices {};
template <int N, int... I> struct up_to : up_to<N - 1, N - 1, I...> {};
template <int... I> struct up_to<0, I...> { typedef indices<I...> type; };

template <class T> struct plain { typedef T type; };
template <class T> struct plain<const T> { typedef T type; };
template <auto function> struct entry;
template <class... P, void (*function)(P...)> struct entry<function> {
    static constexpr Parameter parameters[sizeof...(P) + 1] = {describe<typename plain<P>::type>::value..., {0, 0}};
    template <int... I> static void call(void** given, indices<I...>) {
        function(*static_cast<typename plain<P>::type*>(given[I])...);
    }
    static void invoke(void** given) { call(given, typename up_to<sizeof...(P)>::type()); }
    static constexpr Kernel kernel(const char* name, int max_threads) {
        return {name, invoke, parameters, (int)sizeof...(P), max_threads};
    }
};
}   // namespace emulator
#ifdef EMULATOR_ADDRESS   // which puts red zones there
#define EMULATOR_MODULE(table) {table, nullptr, nullptr}
#else
extern "C" __attribute__((visibility("hidden"))) unsigned char emulator_shared[], _end[];
#define EMULATOR_MODULE(table) {table, emulator_shared, _end}
#endif

// ---- synchronisation. All threads must be at one and the same call, so where each calls from is compared. ----

#define EMULATOR_SITE emulator::Site site = {__builtin_FILE(), __builtin_LINE()}
inline void __syncthreads(EMULATOR_SITE) { emulator::barrier(0, site, 0); }
inline int __syncthreads_count(int predicate, EMULATOR_SITE) { return emulator::barrier(predicate, site, 1); }
inline int __syncthreads_and(int predicate, EMULATOR_SITE) { return emulator::barrier(predicate, site, 2); }
inline int __syncthreads_or(int predicate, EMULATOR_SITE) { return emulator::barrier(predicate, site, 3); }
inline void __syncwarp(unsigned mask = 0xffffffffu, EMULATOR_SITE) {
    emulator::collective(emulator::sync_warp, mask, 0, 0, 32, site);
}
inline void __threadfence() { emulator::fence(); }
inline void __threadfence_block() { emulator::fence(); }
inline void __threadfence_system() { emulator::fence(); }
inline void __nanosleep(unsigned) {}
inline unsigned __activemask() { return emulator::active_mask(); }
[[noreturn]] inline void __trap(EMULATOR_SITE) { emulator::trap("__trap()", site); }
#undef assert
#define assert(condition) ((condition) ? (void)0 : emulator::trap("assert(" #condition ")", {__FILE__, __LINE__}))

template <class T> inline T __shfl_sync(unsigned mask, T value, int lane, int width = 32, EMULATOR_SITE) {
    return emulator::exchange(emulator::shuffle, mask, value, lane, width, site);
}
template <class T> inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, EMULATOR_SITE) {
    return emulator::exchange(emulator::shuffle_up, mask, value, delta, width, site);
}
template <class T> inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, EMULATOR_SITE) {
    return emulator::exchange(emulator::shuffle_down, mask, value, delta, width, site);
}
template <class T> inline T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, EMULATOR_SITE) {
    return emulator::exchange(emulator::shuffle_xor, mask, value, lanes, width, site);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, EMULATOR_SITE) {
    return emulator::collective(emulator::ballot, mask, predicate != 0, 0, 32, site);
}
inline int __any_sync(unsigned mask, int predicate, EMULATOR_SITE) { return __ballot_sync(mask, predicate, site) != 0; }
inline int __all_sync(unsigned mask, int predicate, EMULATOR_SITE) { return __ballot_sync(mask, predicate, site) == mask; }
template <class T> inline unsigned __match_any_sync(unsigned mask, T value, EMULATOR_SITE) {
    emulator::u64 word = 0;
    memcpy(&word, &value, sizeof(T));
    return emulator::collective(emulator::match_any, mask, word, 0, 32, site);
}
template <class T> inline unsigned __match_all_sync(unsigned mask, T value, int* predicate, EMULATOR_SITE) {
    emulator::u64 word = 0;
    memcpy(&word, &value, sizeof(T));
    unsigned out = emulator::collective(emulator::match_all, mask, word, 0, 32, site);
    *predicate = out != 0;
    return out;
}
#define EMULATOR_REDUCE(name, T, operation)                                                                                   \
    inline T __reduce_##name##_sync(unsigned mask, T value, EMULATOR_SITE) {                                                  \
        return (T)emulator::collective(emulator::operation, mask, (emulator::u64)value, 0, 32, site);                         \
    }
EMULATOR_REDUCE(add, unsigned, add)
EMULATOR_REDUCE(add, int, add)
EMULATOR_REDUCE(min, unsigned, min_unsigned)
EMULATOR_REDUCE(min, int, min_signed)
EMULATOR_REDUCE(max, unsigned, max_unsigned)
EMULATOR_REDUCE(max, int, max_signed)
EMULATOR_REDUCE(and, unsigned, bit_and)
EMULATOR_REDUCE(or, unsigned, bit_or)
EMULATOR_REDUCE(xor, unsigned, bit_xor)

// ---- memory --------------------------------------------------------------------------------------------------------------

template <class T> inline T __ldg(const T* p) { return *p; }
template <class T> inline T __ldca(const T* p) { return *p; }
template <class T> inline T __ldcg(const T* p) { return *p; }
template <class T> inline T __ldcs(const T* p) { return *p; }
template <class T> inline T __ldlu(const T* p) { return *p; }
template <class T> inline T __ldcv(const T* p) { return *p; }
template <class T> inline void __stwb(T* p, T value) { *p = value; }
template <class T> inline void __stcg(T* p, T value) { *p = value; }
template <class T> inline void __stcs(T* p, T value) { *p = value; }
template <class T> inline void __stwt(T* p, T value) { *p = value; }

namespace emulator {   // relaxed, as CUDA's are: what they order is only themselves
template <int size> struct word { typedef unsigned type; };
template <> struct word<8> { typedef u64 type; };
template <> struct word<2> { typedef unsigned short type; };
template <class T, class F> inline T update(T* p, F next) {
    typedef typename word<sizeof(T)>::type W;
    W* at = reinterpret_cast<W*>(p);
    W old = __atomic_load_n(at, __ATOMIC_RELAXED), wanted;
    do wanted = bits<W>(T(next(bits<T>(old))));
    while (!__atomic_compare_exchange_n(at, &old, wanted, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return bits<T>(old);
}
}
#define EMULATOR_ATOMIC(name, T, expression)                                                                                  \
    inline T name(T* p, T value) { return emulator::update(p, [&](T old) { return expression; }); }                           \
    inline T name##_block(T* p, T value) { return name(p, value); }                                                           \
    inline T name##_system(T* p, T value) { return name(p, value); }
#define EMULATOR_ATOMICS(name, expression)                                                                                    \
    EMULATOR_ATOMIC(name, int, expression) EMULATOR_ATOMIC(name, unsigned, expression)                                        \
    EMULATOR_ATOMIC(name, unsigned long long, expression)
EMULATOR_ATOMICS(atomicAdd, old + value)
EMULATOR_ATOMIC(atomicAdd, float, old + value)
EMULATOR_ATOMIC(atomicAdd, double, old + value)
EMULATOR_ATOMIC(atomicSub, int, old - value)
EMULATOR_ATOMIC(atomicSub, unsigned, old - value)
EMULATOR_ATOMICS(atomicExch, value)
EMULATOR_ATOMIC(atomicExch, float, value)
EMULATOR_ATOMICS(atomicMin, old < value ? old : value)
EMULATOR_ATOMIC(atomicMin, long long, old < value ? old : value)
EMULATOR_ATOMICS(atomicMax, old > value ? old : value)
EMULATOR_ATOMIC(atomicMax, long long, old > value ? old : value)
EMULATOR_ATOMICS(atomicAnd, old & value)
EMULATOR_ATOMICS(atomicOr, old | value)
EMULATOR_ATOMICS(atomicXor, old ^ value)
EMULATOR_ATOMIC(atomicInc, unsigned, old >= value ? 0 : old + 1)
EMULATOR_ATOMIC(atomicDec, unsigned, old == 0 || old > value ? value : old - 1)
#define EMULATOR_CAS(T)                                                                                                       \
    inline T atomicCAS(T* p, T expected, T wanted) {                                                                          \
        __atomic_compare_exchange_n(p, &expected, wanted, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);                         \
        return expected;                                                                                                      \
    }                                                                                                                         \
    inline T atomicCAS_system(T* p, T expected, T wanted) { return atomicCAS(p, expected, wanted); }
EMULATOR_CAS(int)
EMULATOR_CAS(unsigned)
EMULATOR_CAS(unsigned long long)
EMULATOR_CAS(unsigned short)

// ---- arithmetic ------------------------------------------------------------------------------------------------------------

inline float __uint_as_float(unsigned x) { return emulator::bits<float>(x); }
inline float __int_as_float(int x) { return emulator::bits<float>(x); }
inline unsigned __float_as_uint(float x) { return emulator::bits<unsigned>(x); }
inline int __float_as_int(float x) { return emulator::bits<int>(x); }
inline double __longlong_as_double(long long x) { return emulator::bits<double>(x); }
inline long long __double_as_longlong(double x) { return emulator::bits<long long>(x); }
inline int __double2hiint(double x) { return (int)(emulator::bits<unsigned long long>(x) >> 32); }
inline int __double2loint(double x) { return (int)emulator::bits<unsigned long long>(x); }
inline double __hiloint2double(int high, int low) {
    return emulator::bits<double>((unsigned long long)(unsigned)high << 32 | (unsigned)low);
}

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline unsigned long long __brevll(unsigned long long x) {
    unsigned long long out = 0;
    for (int i = 0; i < 64; i++) out |= (x >> i & 1) << (63 - i);
    return out;
}
inline unsigned __brev(unsigned x) { return (unsigned)(__brevll(x) >> 32); }
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned select) {
    unsigned long long both = (unsigned long long)y << 32 | x;
    unsigned out = 0;
    for (int i = 0; i < 4; i++) {
        unsigned chosen = select >> (4 * i), byte = (unsigned)(both >> (8 * (chosen & 7))) & 0xff;
        out |= (chosen & 8 ? (byte & 0x80 ? 0xff : 0) : byte) << (8 * i);
    }
    return out;
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
    return (unsigned)(((unsigned long long)high << 32 | low) << (shift & 31) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
    return (unsigned)(((unsigned long long)high << 32 | low) >> (shift & 31));
}
inline unsigned __umulhi(unsigned x, unsigned y) { return (unsigned)((unsigned long long)x * y >> 32); }
inline int __mulhi(int x, int y) { return (int)((long long)x * y >> 32); }
inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
    return (unsigned long long)((unsigned __int128)x * y >> 64);
}
inline long long __mul64hi(long long x, long long y) { return (long long)((__int128)x * y >> 64); }
inline int __mul24(int x, int y) { return (int)((unsigned)(x << 8 >> 8) * (unsigned)(y << 8 >> 8)); }
inline unsigned __umul24(unsigned x, unsigned y) { return (x & 0xffffff) * (y & 0xffffff); }
inline unsigned __sad(int x, int y, unsigned z) { return z + (unsigned)(x > y ? x - y : y - x); }

#define EMULATOR_MIN_MAX(A, B, R)                                                                                             \
    inline R min(A x, B y) { return (R)x < (R)y ? (R)x : (R)y; }                                                              \
    inline R max(A x, B y) { return (R)x > (R)y ? (R)x : (R)y; }
#define EMULATOR_MIN_MAX_BOTH(S, U)                                                                                           \
    EMULATOR_MIN_MAX(S, S, S) EMULATOR_MIN_MAX(U, U, U) EMULATOR_MIN_MAX(S, U, U) EMULATOR_MIN_MAX(U, S, U)
EMULATOR_MIN_MAX_BOTH(int, unsigned)
EMULATOR_MIN_MAX_BOTH(long, unsigned long)
EMULATOR_MIN_MAX_BOTH(long long, unsigned long long)
inline float min(float x, float y) { return fminf(x, y); }
inline float max(float x, float y) { return fmaxf(x, y); }
inline double min(double x, double y) { return fmin(x, y); }
inline double max(double x, double y) { return fmax(x, y); }
inline double min(float x, double y) { return fmin(x, y); }
inline double max(float x, double y) { return fmax(x, y); }
inline double min(double x, float y) { return fmin(x, y); }
inline double max(double x, float y) { return fmax(x, y); }

// Rounded to nearest, and never contracted into a fused multiply-add
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __frsqrt_rn(float x) { return (float)(1.0 / sqrt((double)x)); }
inline double __dadd_rn(double x, double y) { return x + y; }
inline double __dsub_rn(double x, double y) { return x - y; }
inline double __dmul_rn(double x, double y) { return x * y; }
inline double __ddiv_rn(double x, double y) { return x / y; }
inline double __fma_rn(double x, double y, double z) { return fma(x, y, z); }
inline double __dsqrt_rn(double x) { return sqrt(x); }
inline double __drcp_rn(double x) { return 1.0 / x; }

// The device's are accurate to a few units in the last place; these are exact but for one rounding
inline float __expf(float x) { return (float)exp((double)x); }
inline float __exp10f(float x) { return (float)pow(10.0, (double)x); }
inline float __logf(float x) { return (float)log((double)x); }
inline float __log2f(float x) { return (float)log2((double)x); }
inline float __log10f(float x) { return (float)log10((double)x); }
inline float __powf(float x, float y) { return (float)pow((double)x, (double)y); }
inline float __sinf(float x) { return (float)sin((double)x); }
inline float __cosf(float x) { return (float)cos((double)x); }
inline float __tanf(float x) { return (float)tan((double)x); }
inline void __sincosf(float x, float* s, float* c) { *s = __sinf(x); *c = __cosf(x); }
inline float __tanhf(float x) { return (float)tanh((double)x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
inline float rsqrtf(float x) { return (float)(1.0 / sqrt((double)x)); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float rsqrt(float x) { return rsqrtf(x); }
inline double rcbrt(double x) { return 1.0 / cbrt(x); }
inline float rcbrtf(float x) { return (float)rcbrt((double)x); }
inline double sinpi(double x) { return sin(3.14159265358979323846 * fmod(x, 2.0)); }
inline double cospi(double x) { return cos(3.14159265358979323846 * fmod(x, 2.0)); }
inline float sinpif(float x) { return (float)sinpi((double)x); }
inline float cospif(float x) { return (float)cospi((double)x); }
inline void sincospif(float x, float* s, float* c) { *s = sinpif(x); *c = cospif(x); }
inline void sincospi(double x, double* s, double* c) { *s = sinpi(x); *c = cospi(x); }
inline double normcdf(double x) { return 0.5 * erfc(-0.70710678118654752440 * x); }
inline float normcdff(float x) { return (float)normcdf((double)x); }
inline double erfcx(double x) { return exp(x * x) * erfc(x); }
inline float fdividef(float x, float y) { return x / y; }

// Conversions saturate and turn NaN into 0, as the device's do
namespace emulator {
template <class I> inline I saturated(double x) {
    constexpr bool is_signed = I(-1) < I(0);
    constexpr I high = is_signed ? I(~0ull >> (65 - 8 * sizeof(I))) : I(~0ull), low = is_signed ? I(-high - 1) : I(0);
    if (x != x) return sizeof(I) == 8 ? I(1ull << 63) : I(0);
    return x >= (double)high ? high : x <= (double)low ? low : I(x);
}
}
#define EMULATOR_CONVERT(from, F, to, I)                                                                                      \
    inline I __##from##2##to##_rn(F x) { return emulator::saturated<I>(rint((double)x)); }                                    \
    inline I __##from##2##to##_rz(F x) { return emulator::saturated<I>(trunc((double)x)); }                                   \
    inline I __##from##2##to##_rd(F x) { return emulator::saturated<I>(floor((double)x)); }                                   \
    inline I __##from##2##to##_ru(F x) { return emulator::saturated<I>(ceil((double)x)); }                                    \
    inline F __##to##2##from##_rn(I x) { return (F)x; }
EMULATOR_CONVERT(float, float, int, int)
EMULATOR_CONVERT(float, float, uint, unsigned)
EMULATOR_CONVERT(float, float, ll, long long)
EMULATOR_CONVERT(float, float, ull, unsigned long long)
EMULATOR_CONVERT(double, double, int, int)
EMULATOR_CONVERT(double, double, uint, unsigned)
EMULATOR_CONVERT(double, double, ll, long long)
EMULATOR_CONVERT(double, double, ull, unsigned long long)
inline float __double2float_rn(double x) { return (float)x; }
inline long long clock64() { return 0; }
inline unsigned long long __globaltimer() { return 0; }
