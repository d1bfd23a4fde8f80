#include "tensorlite.cuh"

// Row z of C logits with label t, s the label smoothing, w the class weights (1 if absent), top = max z:
//     hit = (1-s) w[t],  spread = s/C,  both = hit + spread sum w,  total = sum exp(z - top)
//     loss = both log(total) - hit (z[t] - top) - spread sum w (z - top)
//     grad = scale (both exp(z - top) / total - spread w - hit [j = t])
// `scale` is 1, or 1 / sum of w[t] over the rows that count. Four ways to the same numbers, by where a row is kept between its
// two uses: tiles of short rows in shared memory, a row in a warp's registers, a row in a block's shared memory, nowhere.

enum reduction { NONE, MEAN, SUM };

// ---- copies to shared memory that do not pass through registers, in groups: later groups may be under way -----------------

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
__device__ inline void copy16(void* shared, const void* global) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"((u32)__cvta_generic_to_shared(shared)), "l"(global) : "memory");
}
__device__ inline void end_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }
__device__ inline void wait_for_all_groups_but(int later) {
    if (later == 0) asm volatile("cp.async.wait_group 0;" ::: "memory");
    else if (later == 1) asm volatile("cp.async.wait_group 1;" ::: "memory");
    else if (later == 2) asm volatile("cp.async.wait_group 2;" ::: "memory");
    else asm volatile("cp.async.wait_group 3;" ::: "memory");
}
#else
__device__ inline void copy16(void* shared, const void* global) { *(uint4*)shared = *(const uint4*)global; }
__device__ inline void end_group() {}
__device__ inline void wait_for_all_groups_but(int) {}
#endif

// ---- arithmetic --------------------------------------------------------------------------------------------------------

__device__ inline float exponential(float x) {   // of x <= 0: two units in the last place, and |x| / 16 million
#ifdef TENSORLITE_ON_CPU
    return expf(x);
#else
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x * 1.4426950408889634f));
    return y;
#endif
}
__device__ inline double exponential(double x) { return exp(x); }
__device__ inline float logarithm(float x) { return logf(x); }
__device__ inline double logarithm(double x) { return log(x); }
__device__ inline float maximum(float a, float b) { return fmaxf(a, b); }   // NaN is lost here, and not in the sums
__device__ inline double maximum(double a, double b) { return fmax(a, b); }
__device__ inline float lowest() { return __uint_as_float(0xff800000u); }   // minus infinity
__device__ inline float not_a_number() { return __uint_as_float(0x7fc00000u); }

// Of the elements seen so far: the maximum, sum exp(z - base()), and sum w (z - reference) for label smoothing.
template <class A> struct running {
    A top = A(lowest()), sum = 0, spread = 0;
    __device__ A base() const { return top == A(lowest()) ? A(0) : top; }   // so that exp(z - base) is 0 and not NaN for z = -inf
    __device__ void raise(A to) {
        const A before = top;
        top = maximum(top, to);
        sum *= exponential(before - base());
    }
};
// Over groups of `lanes` lanes, the same bits in each of them.
template <class A> __device__ inline running<A> over_lanes(running<A> r, bool smooth, int lanes = 32) {
    A top = r.top;
    for (int step = lanes / 2; step; step >>= 1) top = maximum(top, __shfl_xor_sync(0xffffffffu, top, step));
    r.raise(top);
    for (int step = lanes / 2; step; step >>= 1) r.sum += __shfl_xor_sync(0xffffffffu, r.sum, step);
    if (smooth)
        for (int step = lanes / 2; step; step >>= 1) r.spread += __shfl_xor_sync(0xffffffffu, r.spread, step);
    return r;
}
// Over the block, with one barrier: `room` of 32 must be another one in the next call.
template <class A> __device__ inline running<A> over_block(running<A> r, bool smooth, running<A>* room) {
    const int lane = threadIdx.x & 31;
    r = over_lanes(r, smooth);
    if (lane == 0) room[threadIdx.x >> 5] = r;
    __syncthreads();
    return over_lanes(lane < (blockDim.x + 31) >> 5 ? room[lane] : running<A>(), smooth);
}

// ---- rows of any alignment ------------------------------------------------------------------------------------------------

// `size` neighbouring elements: `packs` of 16 bytes from `head` on, and loose ones, fewer than 16, before and after.
template <class T, class I> struct window {
    static constexpr int width = pack<T>::size;
    const T* at;
    I size, packs;
    int head;
    __device__ window(const T* at, I size) : at(at), size(size), head((int)((16 - ((u64)at & 15)) % 16 / sizeof(T))) {
        if (head > size) head = (int)size;
        packs = (size - head) / width;
    }
    __device__ I first(I q) const { return head + q * width; }               // element of pack q
    __device__ I loose(int i) const { return i < head ? i : i + packs * width; }   // element, or beyond the last one
    __device__ uint4 get(I q) const { return *reinterpret_cast<const uint4*>(at + first(q)); }
    __device__ void put(T* out, I q, uint4 bits) const {   // `out` is aligned as `at` is
#ifdef TENSORLITE_ON_CPU
        *reinterpret_cast<uint4*>(out + first(q)) = bits;
#else   // said in so many words: the compiler made four stores of 4 bytes of an assignment here
        asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(out + first(q))), "r"(bits.x),
                     "r"(bits.y), "r"(bits.z), "r"(bits.w));
#endif
    }
};
// Packs are kept as bits: kept as elements, those of 16-bit numbers take a register each.
template <class T> __device__ inline pack<T> elements(uint4 bits) {
    union { uint4 bits; pack<T> values; } u = {bits};
    return u.values;
}
template <class T> __device__ inline uint4 bits_of(const pack<T>& values) {
    union { pack<T> values; uint4 bits; } u = {values};
    return u.bits;
}
template <class T> __device__ inline uint4 nothing() {   // minus infinity in all of a pack
    pack<T> out;
#pragma unroll
    for (int e = 0; e < pack<T>::size; e++) out.at[e] = rounded<T>(lowest());
    return bits_of(out);
}

// ---- the problem ------------------------------------------------------------------------------------------------------------

template <class A> struct target { i64 label; A hit; bool kept; };   // label: -1 where it is out of range
template <class A> struct constants { A scale, spread, weights; bool smooth; };

template <class T> struct problem {
    typedef acc<T> A;
    void* losses;         // one loss a row or one in all, of T or, where wide, of A
    T* grad;              // null, or at an address that differs from that of logits by a multiple of 16
    double* scratch;      // ticket (zero before and after), sum of the labels' weights, each block's loss
    const T* logits;
    const void* labels;
    const A* weight;      // or null
    i64 counted;          // whether scratch has the sum of the labels' weights
    i64 *fault, kind, n, c, label_bytes, ignore, reduction;
    double smoothing;
    i64 wide;

    __device__ i64 label(i64 row) const {
        if (label_bytes == 8) return ((const i64*)labels)[row];
        return label_bytes == 4 ? ((const int*)labels)[row] : ((const unsigned char*)labels)[row];
    }
    __device__ target<A> find(i64 row) const {
        i64 t = label(row);
        if (t == ignore) return {-1, A(0), false};
        if (t < 0 || t >= c) return {-1, A(not_a_number()), true};
        return {t, A(1 - smoothing) * (weight ? weight[t] : A(1)), true};
    }
    __device__ void report_label(i64 row, const target<A>& t) const {
        if (t.kept && t.label < 0) report(fault, kind, row, label(row), c);
    }
    __device__ A weight_of(i64 j) const { return weight ? weight[j] : A(1); }
    // What label smoothing measures a row from, so that its sum is not one of large numbers that cancel
    __device__ A reference(i64 row) const {
        const A z = load(logits[row * c]);
        return z - z == 0 ? z : A(0);
    }
    // logit: z[t], in threads that use the result
    __device__ A loss(const running<A>& r, const target<A>& t, const constants<A>& s, A logit, A reference) const {
        A out = (t.hit + (s.smooth ? s.spread * s.weights : A(0))) * logarithm(r.sum) - t.hit * (logit - r.top);
        return s.smooth ? out - s.spread * (r.spread + s.weights * (reference - r.top)) : out;
    }
    __device__ A factor(const running<A>& r, const target<A>& t, const constants<A>& s) const {
        return (t.hit + (s.smooth ? s.spread * s.weights : A(0))) * s.scale / r.sum;
    }
    __device__ void store_loss(i64 at, A loss) const {
        if (wide) ((A*)losses)[at] = loss;
        else ((T*)losses)[at] = rounded<T>(loss);
    }
    // A row's loss: to memory, or added to what this thread has
    __device__ double give(i64 row, A loss) const {
        if (reduction == NONE) store_loss(row, loss);
        return loss;
    }
};

template <class T, class L> __device__ double weight_of_labels(const problem<T>& p, const L* labels, i64 first, i64 step) {
    double sum = 0;
#pragma unroll 8
    for (i64 i = first; i < p.n; i += step) {
        const i64 t = labels[i];
        if (t != p.ignore && t >= 0 && t < p.c) sum += p.weight ? (double)p.weight[t] : 1.0;
    }
    return sum;
}
template <class T> __device__ double weight_of_labels(const problem<T>& p, i64 first, i64 step) {
    if (p.label_bytes == 8) return weight_of_labels(p, (const i64*)p.labels, first, step);
    if (p.label_bytes == 4) return weight_of_labels(p, (const int*)p.labels, first, step);
    return weight_of_labels(p, (const unsigned char*)p.labels, first, step);
}

// What all rows share. Each block counts for itself, in the same order and so to the same number.
template <class T> __device__ constants<acc<T>> prepare(const problem<T>& p) {
    __shared__ double room[33];
    double scale = 1, weights = (double)p.c;
    if (p.reduction == MEAN) {
        const double count = p.counted ? p.scratch[1] : block_reduce(weight_of_labels(p, threadIdx.x, blockDim.x), 0.0, room, plus());
        scale = count != 0 ? 1 / count : (double)not_a_number();
    }
    const bool smooth = p.smoothing != 0;
    if (smooth && p.weight) {
        weights = 0;
        for (i64 j = threadIdx.x; j < p.c; j += blockDim.x) weights += p.weight[j];
        weights = block_reduce(weights, 0.0, room, plus());
    }
    typedef acc<T> A;
    return {(A)scale, (A)(p.smoothing / (p.c ? p.c : 1)), (A)weights, smooth};
}

// The grid's sum of a number that each thread has. True in the threads of one block, the last: there `sum` is complete.
__device__ inline bool grid_sum(double& sum, double* scratch) {
    __shared__ double room[33];
    __shared__ bool last;
    sum = block_reduce(sum, 0.0, room, plus());
    if (gridDim.x == 1) return true;
    if (threadIdx.x == 0) {
        scratch[2 + blockIdx.x] = sum;
        __threadfence();
        last = atomicAdd((u64*)scratch, 1ull) == gridDim.x - 1;
        if (last) *(u64*)scratch = 0;
        __threadfence();
    }
    __syncthreads();
    if (!last) return false;
    const volatile double* parts = scratch + 2;
    sum = 0;
    for (u32 i = threadIdx.x; i < gridDim.x; i += blockDim.x) sum += parts[i];
    sum = block_reduce(sum, 0.0, room, plus());
    return true;
}
template <class T> __device__ void finish(const problem<T>& p, double sum, double scale) {
    if (p.reduction != NONE && grid_sum(sum, p.scratch) && threadIdx.x == 0) p.store_loss(0, (acc<T>)(sum * scale));
}

// Take some packs of a row into the running numbers, with one change of the maximum
template <class T, int P> __device__ inline void absorb(running<acc<T>>& r, const uint4 (&z)[P]) {
    typedef acc<T> A;
    A top = r.top;
#pragma unroll
    for (int k = 0; k < P; k++) {
        const pack<T> values = elements<T>(z[k]);
#pragma unroll
        for (int e = 0; e < pack<T>::size; e++) top = maximum(top, load(values.at[e]));
    }
    r.raise(top);
    const A base = r.base();
#pragma unroll
    for (int k = 0; k < P; k++) {
        const pack<T> values = elements<T>(z[k]);
        A sum = 0;
#pragma unroll
        for (int e = 0; e < pack<T>::size; e++) sum += exponential(load(values.at[e]) - base);
        r.sum += sum;
    }
}

// What a thread does with one row
template <class T, class I> struct row_work {
    typedef acc<T> A;
    static constexpr int width = pack<T>::size;
    const problem<T>& p;
    const constants<A>& s;
    const window<T, I>& w;
    const target<A>& t;
    A reference, base, factor;

    __device__ row_work(const problem<T>& p, const constants<A>& s, const window<T, I>& w, const target<A>& t, i64 row)
        : p(p), s(s), w(w), t(t), reference(s.smooth && t.kept ? p.reference(row) : A(0)), base(0), factor(0) {}
    __device__ running<A> start(A loose, I j) const {
        running<A> r;
        r.top = loose;
        r.sum = exponential(loose - r.base());
        if (s.smooth && j < w.size) r.spread = p.weight_of(j) * (loose - reference);
        return r;
    }
    __device__ void absorb_spread(running<A>& r, I q, uint4 bits) const {
        const pack<T> z = elements<T>(bits);
#pragma unroll
        for (int e = 0; e < width; e++) r.spread += p.weight_of(w.first(q) + e) * (load(z.at[e]) - reference);
    }
    __device__ void known(const running<A>& r) { base = r.base(), factor = p.factor(r, t, s); }
    __device__ A slope(A z, I j) const {
        A d = exponential(z - base) * factor;
        if (s.smooth) d -= s.spread * s.scale * p.weight_of(j);
        return j == t.label ? d - t.hit * s.scale : d;
    }
    __device__ void put_loose(T* out, A loose, I j) const {
        if (j < w.size) out[j] = rounded<T>(t.kept ? slope(loose, j) : A(0));
    }
    __device__ void put_gradient(T* out, I q, uint4 bits) const {
        if (!t.kept) return w.put(out, q, uint4{0, 0, 0, 0});
        const pack<T> z = elements<T>(bits);
        const I first = w.first(q);
        A d[width];
#pragma unroll
        for (int e = 0; e < width; e++) d[e] = exponential(load(z.at[e]) - base) * factor;
        if (s.smooth)
#pragma unroll
            for (int e = 0; e < width; e++) d[e] -= s.spread * s.scale * p.weight_of(first + e);
        const i64 at = t.label - first;
        if (at >= 0 && at < width)
#pragma unroll
            for (int e = 0; e < width; e++)
                if (e == at) d[e] -= t.hit * s.scale;
        pack<T> values;
#pragma unroll
        for (int e = 0; e < width; e++) values.at[e] = rounded<T>(d[e]);
        w.put(out, q, bits_of(values));
    }
};

// ---- short rows: a block's tile of rows in shared memory, `lanes` lanes of a warp (a power of two) a row -------------------

template <class T> __device__ void tiles(const problem<T>& p, int rows, int lanes) {
    typedef acc<T> A;
    extern __shared__ uint4 dynamic[];
    uint4* slots = dynamic + 1;   // loose elements before, packs, loose elements behind
    const int lane = threadIdx.x & (lanes - 1), step = blockDim.x / lanes, c = (int)p.c;
    auto tile = [&](i64 first) {
        return window<T, int>(p.logits + first * c, (int)(p.n - first < rows ? p.n - first : rows) * c);
    };
    auto element = [&](const window<T, int>& w, int j) { return reinterpret_cast<T*>(slots) + (j - w.head); };
    auto fetch = [&](i64 first) {
        const window<T, int> w = tile(first);
        for (int q = threadIdx.x; q < w.packs; q += blockDim.x) copy16(slots + q, w.at + w.first(q));
        const int j = w.loose(threadIdx.x);
        if (j < w.size && threadIdx.x < 32) *element(w, j) = w.at[j];
        end_group();
    };
    i64 first = (i64)blockIdx.x * rows;
    if (first < p.n) fetch(first);
    const constants<A> s = prepare(p);
    double sum = 0;
    while (first < p.n) {
        const window<T, int> w = tile(first);
        const int here = (int)(p.n - first < rows ? p.n - first : rows);
        wait_for_all_groups_but(0);
        __syncthreads();
        for (int base = (threadIdx.x & ~31) / lanes; base < here; base += step) {
            const int i = base + (threadIdx.x & 31) / lanes;
            const bool active = i < here;
            const i64 row = first + i;
            const target<A> t = active ? p.find(row) : target<A>{-1, A(0), false};
            T* z = element(w, i * c);
            const int end = t.kept ? c : 0;
            running<A> r;
            for (int j = lane; j < end; j += lanes) r.top = maximum(r.top, load(z[j]));
            for (int k = lanes / 2; k; k >>= 1) r.top = maximum(r.top, __shfl_xor_sync(0xffffffffu, r.top, k));
            const A logit = t.label >= 0 ? load(z[t.label]) : A(0), top = r.base();
            for (int j = lane; j < end; j += lanes) r.sum += exponential(load(z[j]) - top);
            if (s.smooth)
                for (int j = lane; j < end; j += lanes) r.spread += p.weight_of(j) * (load(z[j]) - top);
            r = over_lanes(r, s.smooth, lanes);
            __syncwarp();   // all have read what is written now
            if (active && lane == 0) {
                sum += p.give(row, t.kept ? p.loss(r, t, s, logit, top) : A(0));
                p.report_label(row, t);
            }
            if (!p.grad || !active) continue;
            const A factor = p.factor(r, t, s);
            for (int j = lane; j < c; j += lanes) {
                A d = 0;
                if (t.kept) {
                    d = exponential(load(z[j]) - top) * factor;
                    if (s.smooth) d -= s.spread * s.scale * p.weight_of(j);
                    if (j == t.label) d -= t.hit * s.scale;
                }
                z[j] = rounded<T>(d);
            }
        }
        __syncthreads();
        if (p.grad) {
            T* out = p.grad + first * c;
            for (int q = threadIdx.x; q < w.packs; q += blockDim.x) w.put(out, q, slots[q]);
            const int j = w.loose(threadIdx.x);
            if (j < w.size && threadIdx.x < 32) out[j] = *element(w, j);
        }
        first += (i64)gridDim.x * rows;
        if (first >= p.n) break;
        __syncthreads();   // before the room is filled again
        fetch(first);
    }
    finish(p, sum, s.scale);
}

// ---- a row in a warp's registers ----------------------------------------------------------------------------------------

template <class T> __device__ void registers(const problem<T>& p) {
    typedef acc<T> A;
    constexpr int P = pack<T>::size == 4 ? 8 : 4;   // packs a lane
    const int lane = threadIdx.x & 31, c = (int)p.c;
    const i64 step = thread_count() / 32;
    uint4 z[P];
    A loose;
    target<A> t;
    auto read = [&](i64 row) {
        t = p.find(row);
        const window<T, int> w(p.logits + row * c, c);
        const int j = w.loose(lane);
        loose = t.kept && j < c ? load(w.at[j]) : A(lowest());
#pragma unroll
        for (int k = 0; k < P; k++) z[k] = t.kept && k * 32 + lane < w.packs ? w.get(k * 32 + lane) : nothing<T>();
    };
    i64 row = thread_index() / 32;
    if (row < p.n) read(row);
    const constants<A> s = prepare(p);
    double sum = 0;
    while (row < p.n) {
        const window<T, int> w(p.logits + row * c, c);
        row_work<T, int> work(p, s, w, t, row);
        A logit = 0;
        running<A> r;
        if (t.kept) {
            if (t.label >= 0 && lane == 0) logit = load(w.at[t.label]);
            r = work.start(loose, w.loose(lane));
            absorb<T>(r, z);
            if (s.smooth)
#pragma unroll
                for (int k = 0; k < P; k++)
                    if (k * 32 + lane < w.packs) work.absorb_spread(r, k * 32 + lane, z[k]);
            r = over_lanes(r, s.smooth);
        }
        if (lane == 0) {
            sum += p.give(row, t.kept ? p.loss(r, t, s, logit, work.reference) : A(0));
            p.report_label(row, t);
        }
        if (p.grad) {
            T* out = p.grad + row * c;
            work.known(r);
            work.put_loose(out, loose, w.loose(lane));
#pragma unroll
            for (int k = 0; k < P; k++) {
                const int q = k * 32 + lane;
                if (q < w.packs) work.put_gradient(out, q, z[k]);
            }
        }
        row += step;
        if (row < p.n) read(row);
    }
    finish(p, sum, s.scale);
}

// ---- a row in a block's shared memory --------------------------------------------------------------------------------------

// A thread works on the same packs of shared memory in every row, so the room of a row whose gradient is being written is
// filled with the next row: reads and writes of device memory go on side by side with one row's room, and no barrier but that
// of the sums. Copies are waited for a batch at a time.
template <class T> __device__ void shared(const problem<T>& p) {
    typedef acc<T> A;
    constexpr int P = 4;   // packs a thread in a batch
    __shared__ running<A> room[2][32];
    extern __shared__ uint4 slots[];
    const int c = (int)p.c, threads = blockDim.x, batches = (c / pack<T>::size + P * threads - 1) / (P * threads);
    auto window_of = [&](i64 row) { return window<T, int>(p.logits + row * c, c); };
    auto fetch = [&](const window<T, int>& w, int batch, bool kept) {
#pragma unroll
        for (int k = 0; k < P; k++) {
            const int q = (batch * P + k) * threads + threadIdx.x;
            if (kept && q < w.packs) copy16(slots + q, w.at + w.first(q));
        }
        end_group();
    };
    auto loose_of = [&](const window<T, int>& w, bool kept) {
        const int j = w.loose(threadIdx.x);
        return kept && threadIdx.x < 32 && j < c ? load(w.at[j]) : A(lowest());
    };
    i64 row = blockIdx.x;
    target<A> t = row < p.n ? p.find(row) : target<A>{-1, A(0), false};
    A loose = loose_of(window_of(row), t.kept);
    for (int b = 0; b < batches; b++) fetch(window_of(row), b, t.kept);
    const constants<A> s = prepare(p);
    double sum = 0;
    int turn = 0;   // of the rooms, one after the other: rows that do not count have no barrier
    while (row < p.n) {
        const i64 next_row = row + gridDim.x;
        const target<A> next_t = next_row < p.n ? p.find(next_row) : target<A>{-1, A(0), false};
        const window<T, int> w = window_of(row), next = window_of(next_row);
        row_work<T, int> work(p, s, w, t, row);
        const int loose_at = threadIdx.x < 32 ? w.loose(threadIdx.x) : c;
        running<A> r;
        A logit = 0;
        if (t.kept) {
            if (t.label >= 0 && threadIdx.x == 0) logit = load(w.at[t.label]);
            r = work.start(loose, loose_at);
            for (int b = 0; b < batches; b++) {
                uint4 z[P];
                wait_for_all_groups_but(batches - 1 - b);
#pragma unroll
                for (int k = 0; k < P; k++) {
                    const int q = (b * P + k) * threads + threadIdx.x;
                    z[k] = q < w.packs ? slots[q] : nothing<T>();
                    if (s.smooth && q < w.packs) work.absorb_spread(r, q, z[k]);
                }
                absorb<T>(r, z);
            }
            r = over_block(r, s.smooth, room[turn]);
            turn ^= 1;
        }
        if (threadIdx.x == 0) {
            sum += p.give(row, t.kept ? p.loss(r, t, s, logit, work.reference) : A(0));
            p.report_label(row, t);
        }
        T* out = p.grad + row * c;
        work.known(r);
        if (p.grad) work.put_loose(out, loose, loose_at);
        loose = loose_of(next, next_t.kept);
        for (int b = 0; b < batches; b++) {
            if (p.grad)
#pragma unroll
                for (int k = 0; k < P; k++) {
                    const int q = (b * P + k) * threads + threadIdx.x;
                    if (q < w.packs) work.put_gradient(out, q, slots[q]);
                }
            fetch(next, b, next_t.kept);
        }
        row = next_row;
        t = next_t;
    }
    finish(p, sum, s.scale);
}

// ---- rows of any length: read twice ---------------------------------------------------------------------------------------

// The second time backwards, so that it begins with what the cache still has.
template <class T> __device__ void two_pass(const problem<T>& p) {
    typedef acc<T> A;
    constexpr int P = 4;
    __shared__ running<A> room[2][32];
    const i64 batch = (i64)P * blockDim.x;
    const constants<A> s = prepare(p);
    double sum = 0;
    int turn = 0;
    for (i64 row = blockIdx.x; row < p.n; row += gridDim.x) {
        const target<A> t = p.find(row);
        const window<T, i64> w(p.logits + row * p.c, p.c);
        row_work<T, i64> work(p, s, w, t, row);
        const i64 loose_at = threadIdx.x < 32 ? w.loose(threadIdx.x) : p.c;
        const A loose = t.kept && loose_at < p.c ? load(w.at[loose_at]) : A(lowest());
        running<A> r;
        A logit = 0;
        auto read = [&](uint4 (&z)[P], i64 from) {
#pragma unroll
            for (int k = 0; k < P; k++) {
                const i64 q = from + k * blockDim.x + threadIdx.x;
                z[k] = q < w.packs ? w.get(q) : nothing<T>();
            }
        };
        if (t.kept) {
            if (t.label >= 0 && threadIdx.x == 0) logit = load(w.at[t.label]);
            r = work.start(loose, loose_at);
            for (i64 from = 0; from < w.packs; from += batch) {
                uint4 z[P];
                read(z, from);
                if (s.smooth)
#pragma unroll
                    for (int k = 0; k < P; k++) {
                        const i64 q = from + k * blockDim.x + threadIdx.x;
                        if (q < w.packs) work.absorb_spread(r, q, z[k]);
                    }
                absorb<T>(r, z);
            }
            r = over_block(r, s.smooth, room[turn]);
            turn ^= 1;
        }
        if (threadIdx.x == 0) {
            sum += p.give(row, t.kept ? p.loss(r, t, s, logit, work.reference) : A(0));
            p.report_label(row, t);
        }
        if (!p.grad) continue;
        T* out = p.grad + row * p.c;
        work.known(r);
        work.put_loose(out, loose, loose_at);
        for (i64 from = (w.packs - 1) / batch * batch; w.packs && from >= 0; from -= batch) {
            uint4 z[P];
            if (t.kept) read(z, from);
#pragma unroll
            for (int k = 0; k < P; k++) {
                const i64 q = from + k * blockDim.x + threadIdx.x;
                if (q < w.packs) work.put_gradient(out, q, z[k]);
            }
        }
    }
    finish(p, sum, s.scale);
}

// ---- entry points -----------------------------------------------------------------------------------------------------------

#define PARAMETERS(T)                                                                                                       \
    void *losses, T *grad, double *scratch, const T *logits, const void *labels, const acc<T> *weight, i64 counted, i64 *fault, \
        i64 kind, i64 n, i64 c, i64 label_bytes, i64 ignore, i64 reduction, double smoothing, i64 wide
#define PROBLEM {losses, grad, scratch, logits, labels, weight, counted, fault, kind, n, c, label_bytes, ignore, reduction, smoothing, wide}

// The numbers of threads are those of cuda.py; with more, values would not fit in the registers.
#define ENTRY(suffix, T)                                                                                                    \
    extern "C" __global__ void __launch_bounds__(256, 4)                                                                    \
    softmax_cross_entropy_tiles_##suffix(PARAMETERS(T), i64 rows, i64 lanes) {                                              \
        tiles<T>(PROBLEM, (int)rows, (int)lanes);                                                                           \
    }                                                                                                                       \
    extern "C" __global__ void __launch_bounds__(256, sizeof(T) == 4 ? 3 : 2)                                              \
    softmax_cross_entropy_registers_##suffix(PARAMETERS(T)) {                                                               \
        registers<T>(PROBLEM);                                                                                              \
    }                                                                                                                       \
    extern "C" __global__ void __launch_bounds__(sizeof(T) == 8 ? 512 : 1024, 1)                                            \
    softmax_cross_entropy_shared_##suffix(PARAMETERS(T)) {                                                                  \
        shared<T>(PROBLEM);                                                                                                 \
    }                                                                                                                       \
    extern "C" __global__ void __launch_bounds__(512, 1) softmax_cross_entropy_two_pass_##suffix(PARAMETERS(T)) {           \
        two_pass<T>(PROBLEM);                                                                                               \
    }                                                                                                                       \
    extern "C" __global__ void softmax_cross_entropy_count_##suffix(PARAMETERS(T)) {                                        \
        const problem<T> p = PROBLEM;                                                                                       \
        double sum = weight_of_labels(p, thread_index(), thread_count());                                                   \
        if (grid_sum(sum, scratch) && threadIdx.x == 0) scratch[1] = sum;                                                   \
    }
// For one type of element, where SUFFIX and ELEMENT say which: a program seldom uses more
#define ENTRY_FOR(suffix, T) ENTRY(suffix, T)
#ifdef ELEMENT
ENTRY_FOR(SUFFIX, ELEMENT)
#else
ENTRIES(ENTRY)
#endif
