// cuBLASLt on the CPU, as much of it as backends/_cublaslt_library.py calls: sums in double, one thread. It is stricter than the
// library: what cublasLt.h does not allow is refused, and so is what NVIDIA documents as unsupported, so that a mistake in the
// binding fails a test here. The numbers are those of cublasLt.h, written again: tests/test_cublaslt.py compares the binding's
// with the header itself where there is one.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <vector>

#define API extern "C" __attribute__((visibility("default")))

namespace {

enum Status { SUCCESS = 0, NOT_INITIALIZED = 1, INVALID_VALUE = 7, NOT_SUPPORTED = 15 };
enum Type { F32 = 0, F64 = 1, F16 = 2, BF16 = 14 };
enum Compute { COMPUTE_32F = 68, COMPUTE_64F = 70, COMPUTE_TF32 = 77 };
enum Epilogue {
    DEFAULT = 1, RELU = 2, BIAS = 4, D_RELU = 8, BGRAD = 16, GELU = 32, D_GELU = 64, AUX = 128, BGRAD_A = 256, BGRAD_B = 512
};
const std::set<uint32_t> EPILOGUES = {1, 2, 4, 6, 130, 134, 136, 152, 32, 36, 160, 164, 192, 208, 256, 512};

struct Handle { uint64_t magic; };
const uint64_t HANDLE = 0x68616e646c65;

// An attribute: its size in bytes, its value.
struct Attributes {
    std::map<int, size_t> sizes;
    std::map<int, std::vector<char>> values;
    Status set(int attribute, const void* value, size_t size) {
        auto known = sizes.find(attribute);
        if (known == sizes.end() || known->second != size || !value) return INVALID_VALUE;
        auto bytes = static_cast<const char*>(value);
        values[attribute].assign(bytes, bytes + size);
        return SUCCESS;
    }
    Status get(int attribute, void* value, size_t size, size_t* written) const {
        auto known = sizes.find(attribute);
        if (known == sizes.end()) return INVALID_VALUE;
        if (written) *written = known->second;
        if (size == 0 && written) return SUCCESS;
        if (size != known->second || !value) return INVALID_VALUE;
        auto found = values.find(attribute);
        if (found == values.end()) memset(value, 0, size); else memcpy(value, found->second.data(), found->second.size());
        return SUCCESS;
    }
    template <class T> T at(int attribute, T missing) const {
        auto found = values.find(attribute);
        if (found != values.end()) memcpy(&missing, found->second.data(), sizeof(T));
        return missing;
    }
};

struct Operation : Attributes {
    int compute, scale;
    Operation(int compute, int scale) : compute(compute), scale(scale) {
        sizes = {{0, 4}, {1, 4}, {2, 4}, {3, 4}, {4, 4}, {5, 4}, {6, 4}, {7, 4}, {8, 8}, {10, 8}, {11, 8}, {12, 8}, {13, 8},
                 {22, 4}, {26, 4}};
    }
    bool transposed(int which) const { return at<int32_t>(3 + which, 0) == 1; }
    uint32_t epilogue() const { return at<uint32_t>(7, 1); }
    char* bias() const { return reinterpret_cast<char*>(at<uint64_t>(8, 0)); }
    char* aux() const { return reinterpret_cast<char*>(at<uint64_t>(11, 0)); }
    int64_t bias_stride() const { return at<int64_t>(10, 0); }
    int64_t aux_ld() const { return at<int64_t>(12, 0); }
    int64_t aux_stride() const { return at<int64_t>(13, 0); }
};

struct Layout : Attributes {
    int type;
    int64_t rows, columns, ld;
    Layout(int type, uint64_t rows, uint64_t columns, int64_t ld) : type(type), rows(rows), columns(columns), ld(ld) {
        sizes = {{0, 4}, {1, 4}, {2, 8}, {3, 8}, {4, 8}, {5, 4}, {6, 8}};
    }
    int32_t batch() const { return at<int32_t>(5, 1); }
    int64_t stride() const { return at<int64_t>(6, 0); }
};

struct Preference : Attributes {
    Preference() { sizes = {{0, 4}, {1, 8}, {3, 4}, {5, 4}, {6, 4}, {7, 4}, {8, 4}, {9, 4}, {12, 8}}; }
};

struct Algorithm { uint64_t magic, index, workspace, alignment[4], problem; };
static_assert(sizeof(Algorithm) == 64, "cublasLtMatmulAlgo_t");
struct Heuristic { Algorithm algorithm; size_t workspace; int state; float waves; int reserved[4]; };
static_assert(sizeof(Heuristic) == 96, "cublasLtMatmulHeuristicResult_t");
const uint64_t ALGORITHM = 0x616c676f;

// What tests ask for and read
std::mutex mutex;
std::set<uint32_t> refused;
int fail_next = 0;
int64_t launched = 0, alive = 0;
uint64_t last[6];   // epilogue, index of the algorithm, stream, matrices, rows and columns of D

// ---- elements ----------------------------------------------------------------------------------------------------------

size_t size_of(int type) { return type == F64 ? 8 : type == F32 ? 4 : 2; }
bool known(int type) { return type == F32 || type == F64 || type == F16 || type == BF16; }
float from_bits(uint32_t bits) { float x; memcpy(&x, &bits, 4); return x; }
uint32_t to_bits(float x) { uint32_t bits; memcpy(&bits, &x, 4); return bits; }

double load(const char* p, int64_t i, int type) {
    if (type == F64) { double x; memcpy(&x, p + 8 * i, 8); return x; }
    if (type == F32) { float x; memcpy(&x, p + 4 * i, 4); return x; }
    uint16_t h;
    memcpy(&h, p + 2 * i, 2);
    if (type == BF16) return from_bits((uint32_t)h << 16);
    int exponent = (h >> 10) & 31, mantissa = h & 1023;
    double size = exponent == 31 ? (mantissa ? NAN : INFINITY)
        : exponent ? std::ldexp(1024 + mantissa, exponent - 25) : std::ldexp(mantissa, -24);
    return h & 0x8000 ? -size : size;
}

uint16_t half(double x) {
    uint16_t sign = std::signbit(x) ? 0x8000 : 0;
    if (std::isnan(x)) return sign | 0x7e00;
    double size = std::fabs(x);
    if (size >= 65520) return sign | 0x7c00;
    int exponent;
    std::frexp(size, &exponent);
    int step = std::max(exponent - 11, -24);                   // the spacing of halves there is 2^step
    double count = std::nearbyint(std::ldexp(size, -step));    // at most 2048
    if (count >= 2048) { count /= 2; step++; }
    return sign | (count < 1024 ? (uint16_t)count : (uint16_t)(((step + 25) << 10) + ((int)count - 1024)));
}

void store(char* p, int64_t i, int type, double x) {
    if (type == F64) { memcpy(p + 8 * i, &x, 8); return; }
    float f = (float)x;
    if (type == F32) { memcpy(p + 4 * i, &f, 4); return; }
    uint16_t h;
    if (type == F16) h = half(x);
    else {
        uint32_t bits = to_bits(f);
        h = std::isnan(f) ? 0x7fff : (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
    }
    memcpy(p + 2 * i, &h, 2);
}

double tf32(double x) {   // 11 significant bits
    uint32_t bits = to_bits((float)x);
    return std::isfinite(x) ? from_bits((bits + 0xfff + ((bits >> 13) & 1)) & ~0x1fffu) : x;
}

double tanh_argument(double x) { return 0.7978845608028654 * (x + 0.044715 * x * x * x); }
double gelu(double x) { return 0.5 * x * (1 + std::tanh(tanh_argument(x))); }
double gelu_slope(double x) {
    double t = std::tanh(tanh_argument(x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * 0.7978845608028654 * (1 + 3 * 0.044715 * x * x);
}

// ---- rules -------------------------------------------------------------------------------------------------------------

bool aligned(const void* p, uint64_t to) { return (uint64_t)p % to == 0; }

Status check(const Operation& o, const Layout& a, const Layout& b, const Layout& c, const Layout& d) {
    for (const Layout* m : {&a, &b, &c, &d})
        if (!known(m->type) || m->rows < 1 || m->columns < 1 || m->ld < m->rows || m->batch() < 1 || m->at<int32_t>(1, 0) != 0)
            return INVALID_VALUE;
    const bool ta = o.transposed(0), tb = o.transposed(1);
    const int64_t m = ta ? a.columns : a.rows, k = ta ? a.rows : a.columns, n = tb ? b.rows : b.columns;
    if ((tb ? b.columns : b.rows) != k || d.rows != m || d.columns != n || c.rows != m || c.columns != n) return INVALID_VALUE;
    if (a.batch() != d.batch() || b.batch() != d.batch() || c.batch() != d.batch()) return INVALID_VALUE;
    if (d.batch() > 1 && (a.stride() < 0 || b.stride() < 0 || d.stride() < d.ld * d.columns)) return INVALID_VALUE;
    if (d.batch() == 1 && (a.stride() || b.stride() || d.stride())) return INVALID_VALUE;
    if (b.type != a.type || c.type != d.type || d.type != a.type) return NOT_SUPPORTED;
    if (o.scale != (a.type == F64 ? F64 : F32)) return NOT_SUPPORTED;
    const bool fast = a.type == F32 && o.compute == COMPUTE_TF32;
    if (o.compute != (a.type == F64 ? COMPUTE_64F : COMPUTE_32F) && !fast) return NOT_SUPPORTED;
    const uint32_t e = o.epilogue();
    if (!EPILOGUES.count(e)) return INVALID_VALUE;
    if (refused.count(e)) return NOT_SUPPORTED;
    const bool writes_sum = e & (BGRAD | BGRAD_A | BGRAD_B);
    if ((e & BIAS || writes_sum) && (!o.bias() || !aligned(o.bias(), size_of(d.type)))) return INVALID_VALUE;
    if (a.type == F64 && e & ~(uint32_t)(DEFAULT | BIAS | RELU)) return NOT_SUPPORTED;
    if (writes_sum && d.batch() > 1) return NOT_SUPPORTED;
    if (e & AUX) {
        const bool mask = e & (RELU | D_RELU);
        const int64_t unit = mask ? 128 : 8;
        if (!o.aux() || !aligned(o.aux(), 16)) return INVALID_VALUE;
        if (o.aux_ld() % unit || o.aux_ld() < d.rows || o.aux_stride() % unit) return INVALID_VALUE;
        if (d.batch() > 1 && o.aux_stride() < o.aux_ld() * d.columns) return INVALID_VALUE;
    }
    return SUCCESS;
}

// What the algorithm was asked for; a launch with another problem is refused.
uint64_t fingerprint(const Operation& o, const Layout& a, const Layout& b, const Layout& d) {
    uint64_t h = 1469598103934665603ull;
    auto mix = [&](int64_t v) { h = (h ^ (uint64_t)v) * 1099511628211ull; };
    for (const Layout* m : {&a, &b, &d})
        for (int64_t v : {(int64_t)m->type, m->rows, m->columns, m->ld, (int64_t)m->batch(), m->stride()}) mix(v);
    mix(o.compute); mix(o.scale); mix(o.epilogue()); mix(o.transposed(0)); mix(o.transposed(1)); mix(o.aux_ld());
    return h;
}

void unpack(std::vector<double>& out, const char* p, const Layout& m, bool transposed, bool rounded) {   // op(M), row by row
    const int64_t rows = transposed ? m.columns : m.rows, columns = transposed ? m.rows : m.columns;
    out.resize(rows * columns);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) {
            double x = load(p, transposed ? j + i * m.ld : i + j * m.ld, m.type);
            out[i * columns + j] = rounded ? tf32(x) : x;
        }
}

void product(const Operation& o, double alpha, double beta, const char* pa, const Layout& a, const char* pb, const Layout& b,
             const char* pc, const Layout& c, char* pd, const Layout& d, char* bias, char* aux) {
    const int64_t m = d.rows, n = d.columns, k = o.transposed(0) ? a.rows : a.columns;
    const uint32_t e = o.epilogue();
    std::vector<double> x, y, z(m * n), sums(e == BGRAD_B ? n : m);
    unpack(x, pa, a, o.transposed(0), o.compute == COMPUTE_TF32);
    unpack(y, pb, b, o.transposed(1), o.compute == COMPUTE_TF32);
    for (int64_t i = 0; i < m; i++)
        for (int64_t l = 0; l < k; l++) {
            const double left = x[i * k + l];
            for (int64_t j = 0; j < n; j++) z[i * n + j] += left * y[l * n + j];
        }
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double v = alpha * z[i * n + j] + (beta ? beta * load(pc, i + j * c.ld, c.type) : 0);
            if (e & BIAS) v += load(bias, i, d.type);
            const int64_t at = i + j * o.aux_ld();
            char* byte = aux ? aux + at / 8 : nullptr;
            if (e & RELU) {
                if (e & AUX) *byte = (char)((*byte & ~(1 << at % 8)) | ((v > 0) << at % 8));
                v = v > 0 || std::isnan(v) ? v : 0;
            }
            if (e & GELU) {
                if (e & AUX) store(aux, at, d.type, v);
                v = gelu(v);
            }
            if (e & D_RELU) v = *byte >> at % 8 & 1 ? v : 0;
            if (e & D_GELU) v *= gelu_slope(load(aux, at, d.type));
            if (e & BGRAD) sums[i] += v;
            store(pd, i + j * d.ld, d.type, v);
        }
    if (e == BGRAD_A) for (int64_t i = 0; i < m; i++) for (int64_t l = 0; l < k; l++) sums[i] += x[i * k + l];
    if (e == BGRAD_B) for (int64_t l = 0; l < k; l++) for (int64_t j = 0; j < n; j++) sums[j] += y[l * n + j];
    if (e & (BGRAD | BGRAD_A | BGRAD_B)) for (size_t i = 0; i < sums.size(); i++) store(bias, i, d.type, sums[i]);
}

template <class T> int destroy(T* p) { if (!p) return INVALID_VALUE; delete p; alive--; return SUCCESS; }
template <class T> int made(T** place, T* p) { if (!place) return INVALID_VALUE; *place = p; alive++; return SUCCESS; }

}   // namespace

API size_t cublasLtGetVersion() { return 130100; }
API const char* cublasLtGetStatusName(int status) {
    switch (status) {
        case SUCCESS: return "CUBLAS_STATUS_SUCCESS";
        case NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
        case INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
        case NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
        default: return "CUBLAS_STATUS_INTERNAL_ERROR";
    }
}
API const char* cublasLtGetStatusString(int status) { return status ? "in the stand-in" : "success"; }

API int cublasLtCreate(Handle** place) { return made(place, new Handle{HANDLE}); }
API int cublasLtDestroy(Handle* handle) { return destroy(handle); }

API int cublasLtMatmulDescCreate(Operation** place, int compute, int scale) { return made(place, new Operation(compute, scale)); }
API int cublasLtMatmulDescDestroy(Operation* o) { return destroy(o); }
API int cublasLtMatmulDescSetAttribute(Operation* o, int attribute, const void* value, size_t size) {
    return o ? o->set(attribute, value, size) : INVALID_VALUE;
}
API int cublasLtMatmulDescGetAttribute(Operation* o, int attribute, void* value, size_t size, size_t* written) {
    return o ? o->get(attribute, value, size, written) : INVALID_VALUE;
}

API int cublasLtMatrixLayoutCreate(Layout** place, int type, uint64_t rows, uint64_t columns, int64_t ld) {
    return made(place, new Layout(type, rows, columns, ld));
}
API int cublasLtMatrixLayoutDestroy(Layout* m) { return destroy(m); }
API int cublasLtMatrixLayoutSetAttribute(Layout* m, int attribute, const void* value, size_t size) {
    return m ? m->set(attribute, value, size) : INVALID_VALUE;
}
API int cublasLtMatrixLayoutGetAttribute(Layout* m, int attribute, void* value, size_t size, size_t* written) {
    return m ? m->get(attribute, value, size, written) : INVALID_VALUE;
}

API int cublasLtMatmulPreferenceCreate(Preference** place) { return made(place, new Preference()); }
API int cublasLtMatmulPreferenceDestroy(Preference* p) { return destroy(p); }
API int cublasLtMatmulPreferenceSetAttribute(Preference* p, int attribute, const void* value, size_t size) {
    return p ? p->set(attribute, value, size) : INVALID_VALUE;
}
API int cublasLtMatmulPreferenceGetAttribute(Preference* p, int attribute, void* value, size_t size, size_t* written) {
    return p ? p->get(attribute, value, size, written) : INVALID_VALUE;
}

API int cublasLtMatmulAlgoGetHeuristic(Handle* handle, Operation* o, Layout* a, Layout* b, Layout* c, Layout* d, Preference* p,
                                       int requested, Heuristic* results, int* count) {
    std::lock_guard<std::mutex> held(mutex);
    if (!handle || handle->magic != HANDLE || !o || !a || !b || !c || !d || !p) return INVALID_VALUE;
    if (requested < 1 || !results || !count) return INVALID_VALUE;
    *count = 0;
    const Status status = check(*o, *a, *b, *c, *d);
    if (status) return status;
    if (size_of(d->type) == 2 && p->at<uint32_t>(3, 7) != 2) return INVALID_VALUE;   // partial sums are to be kept in float32
    for (; *count < requested && *count < 4; ++*count) {   // the later an algorithm, the less memory it needs
        Heuristic& r = results[*count];
        memset(&r, 0, sizeof r);
        r.workspace = (size_t)(3 - *count) << 20;
        if (r.workspace > p->at<uint64_t>(1, 0)) r.workspace = p->at<uint64_t>(1, 0);
        r.algorithm = {ALGORITHM, (uint64_t)*count, r.workspace, {}, fingerprint(*o, *a, *b, *d)};
        for (int i = 0; i < 4; i++) r.algorithm.alignment[i] = p->at<uint32_t>(5 + i, 256);
    }
    return SUCCESS;
}

API int cublasLtMatmul(Handle* handle, Operation* o, const void* alpha, const char* pa, Layout* a, const char* pb, Layout* b,
                       const void* beta, const char* pc, Layout* c, char* pd, Layout* d, const Algorithm* algorithm,
                       char* workspace, size_t size, void* stream) {
    std::lock_guard<std::mutex> held(mutex);
    if (!handle || handle->magic != HANDLE) return INVALID_VALUE;
    for (const void* given : {(const void*)o, alpha, (const void*)pa, (const void*)a, (const void*)pb, (const void*)b, beta,
                              (const void*)pc, (const void*)c, (const void*)pd, (const void*)d})
        if (!given) return INVALID_VALUE;
    if (int status = fail_next) { fail_next = 0; return status; }
    const Status status = check(*o, *a, *b, *c, *d);
    if (status) return status;
    if (!algorithm || algorithm->magic != ALGORITHM || algorithm->problem != fingerprint(*o, *a, *b, *d)) return INVALID_VALUE;
    const void* pointers[4] = {pa, pb, pc, pd};
    for (int i = 0; i < 4; i++) if (!aligned(pointers[i], algorithm->alignment[i])) return INVALID_VALUE;
    if (size < algorithm->workspace || (algorithm->workspace && (!workspace || !aligned(workspace, 256)))) return INVALID_VALUE;
    if (algorithm->workspace) memset(workspace, 0x5a, 4096);
    const bool wide = o->scale == F64;
    double factors[2];
    for (int i = 0; i < 2; i++) factors[i] = load(static_cast<const char*>(i ? beta : alpha), 0, wide ? F64 : F32);
    for (int64_t i = 0; i < d->batch(); i++) {
        char* bias = o->bias() ? o->bias() + i * o->bias_stride() * size_of(d->type) : nullptr;
        const int64_t bits = o->epilogue() & (RELU | D_RELU) ? 1 : 8 * size_of(d->type);
        char* aux = o->aux() ? o->aux() + i * o->aux_stride() * bits / 8 : nullptr;
        auto at = [i](auto p, const Layout* m) { return p + i * m->stride() * (int64_t)size_of(m->type); };
        product(*o, factors[0], factors[1], at(pa, a), *a, at(pb, b), *b, at(pc, c), *c, at(pd, d), *d, bias, aux);
    }
    launched++;
    const uint64_t what[] = {o->epilogue(), algorithm->index, (uint64_t)stream, (uint64_t)d->batch(), (uint64_t)d->rows,
                             (uint64_t)d->columns};
    std::copy(what, what + 6, last);
    return SUCCESS;
}

// ---- for tests -----------------------------------------------------------------------------------------------------------

API void stand_in_refuse(uint32_t epilogue) { if (epilogue) refused.insert(epilogue); else refused.clear(); }
API void stand_in_fail_next(int status) { fail_next = status; }
API int64_t stand_in_launched() { return launched; }
API int64_t stand_in_alive() { return alive; }
API uint64_t stand_in_last(int what) { return last[what]; }
