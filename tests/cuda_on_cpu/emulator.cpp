// The threads of a block as fibers of one OS thread. Threads take turns only where they wait for each other: at barriers and
// at warp operations. One that never waits costs a function call: a fiber runs thread after thread until one waits.
//
// Compiled without sanitizers even where kernels are compiled with one, which is told what happens here instead:
// to ThreadSanitizer every CUDA thread is a fiber of its own, ordered with others by barriers, __syncwarp and fences only, and
// blocks are not ordered with each other; so what it reports depends on the program, not on how the threads took turns.
#include "emulator.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>

#if !defined(__x86_64__) && !defined(__aarch64__)
#include <ucontext.h>
#endif

#ifdef EMULATOR_THREAD
extern "C" {
void* __tsan_create_fiber(unsigned flags);
void* __tsan_get_current_fiber();
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* at);
void __tsan_release(void* at);
}
#else
static void __tsan_acquire(void*) {}
static void __tsan_release(void*) {}
#endif
#ifdef EMULATOR_ADDRESS
extern "C" {
void __sanitizer_start_switch_fiber(void** save, const void* bottom, size_t size);
void __sanitizer_finish_switch_fiber(void* save, const void** bottom, size_t* size);
void __asan_poison_memory_region(const volatile void* at, size_t size);
void __asan_unpoison_memory_region(const volatile void* at, size_t size);
}
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulator {
namespace {
constexpr size_t stack_size = 256 << 10, shared_size = 228 << 10, page = 4096;
constexpr unsigned most_threads = 1024;
typedef unsigned u32;

// ---- switching stacks -----------------------------------------------------------------------------------------------------

struct Fiber {
    void* sp;
    char* stack;
#if !defined(__x86_64__) && !defined(__aarch64__)
    ucontext_t context;
#endif
#ifdef EMULATOR_ADDRESS
    void* fake;
#endif
};
constexpr unsigned most_fibers = 2 * most_threads;
void fill(void* at, size_t size) {   // with garbage; not by memset, which sanitizers would see
    for (volatile unsigned char* p = static_cast<unsigned char*>(at); size; size--) *p++ = 0xa5;
}
Fiber home, fibers[most_fibers];
Fiber *running = &home, *idle[most_threads];
u32 idle_count, fiber_count, first_fiber;   // from first_fiber on: the block's
void run_threads();

#if defined(__x86_64__)
extern "C" void emulator_switch(void** save, void* load) __attribute__((visibility("hidden")));
asm(".text\n.globl emulator_switch\n.hidden emulator_switch\n.type emulator_switch,@function\nemulator_switch:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n");
void prepare(Fiber* f) {   // as if run_threads had been called and had switched away at once
    void** top = reinterpret_cast<void**>(f->stack + stack_size) - 3;   // where a function begins, sp is 8 past a multiple of 16
    fill(top - 7, 5 * sizeof(void*));
    top[-2] = top[0] = nullptr;   // no frame above, no return address: here unwinders stop
    top[-1] = reinterpret_cast<void*>(run_threads);
    f->sp = top - 7;
}
void jump(Fiber* from, Fiber* to) { emulator_switch(&from->sp, to->sp); }
#elif defined(__aarch64__)
extern "C" void emulator_switch(void** save, void* load) __attribute__((visibility("hidden")));
asm(".text\n.globl emulator_switch\n.hidden emulator_switch\n.type emulator_switch,%function\nemulator_switch:\n"
    "sub sp,sp,#160\n"
    "stp x19,x20,[sp]\nstp x21,x22,[sp,#16]\nstp x23,x24,[sp,#32]\nstp x25,x26,[sp,#48]\nstp x27,x28,[sp,#64]\n"
    "stp x29,x30,[sp,#80]\n"
    "stp d8,d9,[sp,#96]\nstp d10,d11,[sp,#112]\nstp d12,d13,[sp,#128]\nstp d14,d15,[sp,#144]\n"
    "mov x9,sp\nstr x9,[x0]\nmov sp,x1\n"
    "ldp x19,x20,[sp]\nldp x21,x22,[sp,#16]\nldp x23,x24,[sp,#32]\nldp x25,x26,[sp,#48]\nldp x27,x28,[sp,#64]\n"
    "ldp x29,x30,[sp,#80]\n"
    "ldp d8,d9,[sp,#96]\nldp d10,d11,[sp,#112]\nldp d12,d13,[sp,#128]\nldp d14,d15,[sp,#144]\n"
    "add sp,sp,#160\nret\n");
void prepare(Fiber* f) {
    void** top = reinterpret_cast<void**>(f->stack + stack_size) - 20;
    fill(top, 20 * sizeof(void*));
    top[10] = nullptr;   // x29: no frame above
    top[11] = reinterpret_cast<void*>(run_threads);   // x30, where ret goes
    f->sp = top;
}
void jump(Fiber* from, Fiber* to) { emulator_switch(&from->sp, to->sp); }
#else
void prepare(Fiber* f) {
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = stack_size;
    f->context.uc_link = nullptr;
    makecontext(&f->context, run_threads, 0);
}
void jump(Fiber* from, Fiber* to) { swapcontext(&from->context, &to->context); }
#endif

void* map(size_t size) {
    void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) { perror("cuda_on_cpu: mmap"); abort(); }
    return at;
}

// ---- the block that runs --------------------------------------------------------------------------------------------------

enum State : unsigned char { unborn, runs, at_barrier, at_warp, done };
struct Thread {
    uint3 index;
    Fiber* fiber;
    State state;
    unsigned char operation, parity;
    u32 mask, lane, width;
    Site site;
    u64 value, result;
};
Thread threads[most_threads];
u32 order[most_threads], ready[most_threads];   // the threads as they begin; those that can go on, a ring
u32 count, born, finished, current, ready_first, ready_count;
u32 waiting_at_barrier, barrier_predicates, barrier_parity;
Site barrier_site;
int barrier_operation, barrier_result;
u32 waiting_in_warp[most_threads / 32];
const Module* module;
const Kernel* kernel;
void** arguments;
bool random_order;
u64 random_state;
char error[600];
char starts, ends, fences, barriers[2], warps[most_threads][2];   // addresses that ThreadSanitizer orders threads by
#ifdef EMULATOR_THREAD
void *home_tsan, *tsan[most_fibers];
#endif

u32 random_below(u32 n) {
    random_state ^= random_state << 13; random_state ^= random_state >> 7; random_state ^= random_state << 17;
    return (u32)((random_state >> 32) * n >> 32);
}

#ifdef EMULATOR_ADDRESS
const void* home_stack;
size_t home_size;
#endif
void switch_to(Fiber* to) {
    Fiber* from = running;
    if (from == to) return;
    running = to;
#ifdef EMULATOR_THREAD
    __tsan_switch_to_fiber(to == &home ? home_tsan : tsan[to - fibers], 1);   // 1: the switch orders nothing
#endif
#ifdef EMULATOR_ADDRESS
    __sanitizer_start_switch_fiber(&from->fake, to == &home ? home_stack : to->stack, to == &home ? home_size : stack_size);
    jump(from, to);
    __sanitizer_finish_switch_fiber(from->fake, nullptr, nullptr);
#else
    jump(from, to);
#endif
}

#define AT(site) (site).file, (site).line
void say_where() {
    size_t end = strlen(error);
    snprintf(error + end, sizeof(error) - end, " (%s, block (%u, %u, %u), thread (%u, %u, %u))", kernel->name,
             blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
}
bool same(Site a, Site b) { return a.line == b.line && (a.file == b.file || !strcmp(a.file, b.file)); }

void fail(const char* format, ...) {
    if (!error[0]) {
        va_list rest;
        va_start(rest, format);
        vsnprintf(error, sizeof(error), format, rest);
        va_end(rest);
        say_where();
    }
    switch_to(&home);   // which abandons all fibers
}

void make_ready(u32 thread) {
    threads[thread].state = runs;
    u32 at = ready_first + ready_count++;
    ready[at >= count ? at - count : at] = thread;
}
u32 take_ready() {
    if (random_order) {
        u32 at = ready_first + random_below(ready_count);
        if (at >= count) at -= count;
        u32 other = ready[at];
        ready[at] = ready[ready_first];
        ready[ready_first] = other;
    }
    u32 thread = ready[ready_first];
    if (++ready_first == count) ready_first = 0;
    ready_count--;
    return thread;
}
bool begin_next() {   // whether a thread that has not begun is to run, rather than one that goes on
    return born < count && (!random_order || !ready_count || random_below(ready_count + 1) == 0);
}

const char* const names[] = {"__shfl_sync", "__shfl_up_sync", "__shfl_down_sync", "__shfl_xor_sync", "__ballot_sync",
    "__match_any_sync", "__match_all_sync", "__syncwarp", "__reduce_add_sync", "__reduce_min_sync", "__reduce_min_sync",
    "__reduce_max_sync", "__reduce_max_sync", "__reduce_and_sync", "__reduce_or_sync", "__reduce_xor_sync"};

void explain_deadlock() {
    if (waiting_at_barrier)
        fail("deadlock: %u of the block's %u threads wait at the barrier of %s:%d, %u have returned, %u wait in warp operations",
             waiting_at_barrier, count, AT(barrier_site), finished, count - finished - waiting_at_barrier);
    for (u32 t = 0; t < count; t++)
        if (threads[t].state == at_warp) {
            u32 present = t / 32 * 32 + 32 <= count ? ~0u : (1u << count % 32) - 1;
            u32 mask = threads[t].mask;
            fail("deadlock: %s of %s:%d, mask %08x: of these lanes of warp %u only %08x came (%08x of the mask are no threads of "
                 "the block)", names[threads[t].operation], AT(threads[t].site), mask, t / 32, waiting_in_warp[t / 32] & mask,
                 mask & ~present);
        }
}

Fiber* fresh_fiber() {
    Fiber* f;
    if (idle_count) f = idle[--idle_count];
    else {
        f = &fibers[first_fiber + fiber_count++];
        if (!f->stack) {
            f->stack = static_cast<char*>(map(stack_size + page)) + page;
            mprotect(f->stack - page, page, PROT_NONE);
            fill(f->stack + stack_size - 4 * page, 4 * page);
        }
    }
#ifdef EMULATOR_ADDRESS
    __asan_unpoison_memory_region(f->stack, stack_size);
#endif
    prepare(f);
    return f;
}

void resume() {   // a thread that can go on
    if (ready_count) {
        current = take_ready();
        threadIdx = threads[current].index;
        switch_to(threads[current].fiber);
    } else if (finished == count) switch_to(&home);
    else explain_deadlock();
}
void go_on() {   // the running fiber's thread cannot
    if (!begin_next()) return resume();
    current = order[born];
    switch_to(fresh_fiber());
}

void run_threads() {
#ifdef EMULATOR_ADDRESS
    const void* stack;
    size_t size;
    __sanitizer_finish_switch_fiber(nullptr, &stack, &size);
    if (!home_stack) home_stack = stack, home_size = size;   // the first fiber is come to from there
#endif
    for (;;) {
        Thread& t = threads[current = order[born++]];
        threadIdx = t.index;
        t.fiber = running;
        t.state = runs;
        __tsan_acquire(&starts);
        kernel->invoke(arguments);
        __tsan_release(&ends);
        threads[current].state = done;
        finished++;
#ifdef EMULATOR_THREAD
        go_on();
#else
        if (begin_next()) continue;   // on the same stack
        idle[idle_count++] = running;
        resume();
#endif
    }
}

// ---- before and after a block ---------------------------------------------------------------------------------------------

unsigned char* shared_memory() {
    unsigned char* at = static_cast<unsigned char*>(map(shared_size + 2 * page));
    mprotect(at, page, PROT_NONE);
    mprotect(at + page + shared_size, page, PROT_NONE);
    return at + page;
}
constexpr unsigned char garbage[] = {0xff, 0x7a, 0xfa};   // as floats of any size: NaN, large, large and negative
#ifdef EMULATOR_ADDRESS   // which guards what follows to the byte
size_t slack(u32) { return 0; }
#else
size_t slack(u32 shared) { return (page - shared % page) % page; }
#endif

void prepare_block(u32 shared, u64 seed) {
    unsigned char fill = garbage[(seed + blockIdx.x) % sizeof(garbage)];
    size_t fixed = module->shared_end - module->shared;
#ifdef EMULATOR_THREAD   // fresh memory, in which nobody has written
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
    mmap(dynamic_shared, shared + slack(shared), PROT_READ | PROT_WRITE, flags, -1, 0);
    if (fixed) mmap(module->shared, fixed + slack(fixed), PROT_READ | PROT_WRITE, flags, -1, 0);
    fiber_count = 0;   // each thread has a fiber of its own, and blocks that follow each other have different ones
    if (blockIdx.x || blockIdx.y || blockIdx.z) first_fiber ^= most_threads;
#endif
    if (fixed) memset(module->shared, fill, fixed);
    memset(dynamic_shared, fill, shared + slack(shared));
    __tsan_release(&starts);
    born = finished = ready_first = ready_count = waiting_at_barrier = barrier_predicates = 0;
    memset(waiting_in_warp, 0, sizeof(waiting_in_warp));
    for (u32 t = 0; t < count; t++) threads[t].state = unborn;
    if (random_order)
        for (u32 t = count; t > 1; t--) {
            u32 other = random_below(t), swap = order[t - 1];
            order[t - 1] = order[other];
            order[other] = swap;
        }
}

void check_block(u32 shared, u64 seed) {
    unsigned char fill = garbage[(seed + blockIdx.x) % sizeof(garbage)];
    for (size_t i = shared; i < shared + slack(shared); i++)
        if (dynamic_shared[i] != fill)
            fail("out of bounds: dynamic shared memory of %u bytes was written at byte %zu", shared, i);
}

void size_shared(u32 shared) {
    static u32 accessible = shared_size;
    u32 wanted = (shared + page - 1) / page * page;
    if (wanted == accessible) return;
    mprotect(dynamic_shared, shared_size, PROT_NONE);
    if (wanted) mprotect(dynamic_shared, wanted, PROT_READ | PROT_WRITE);
    accessible = wanted;
}

// ---- faults of the kernel --------------------------------------------------------------------------------------------------

#if !defined(EMULATOR_THREAD) && !defined(EMULATOR_ADDRESS)
sigjmp_buf rescue;
const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};

pthread_t launching;

void on_signal(int number, siginfo_t* info, void*) {
    if (!pthread_equal(launching, pthread_self())) {   // of a thread that has nothing to do with us: as it would have been
        signal(number, SIG_DFL);
        return;
    }
    const char* what = number == SIGFPE ? "integer division by zero"
                     : number != SIGSEGV && number != SIGBUS ? "illegal instruction at %p"
                     : info->si_code == SI_KERNEL ? "out of bounds: an access at an address that cannot be, or a misaligned one"
                     : "out of bounds: an access at address %p, which is in nobody's memory";
    snprintf(error, sizeof(error), what, info->si_addr);
    say_where();
    siglongjmp(rescue, 1);
}

struct Guard {
    struct sigaction before[sizeof(signals) / sizeof(*signals)];
    stack_t stack_before;
    Guard() {
        launching = pthread_self();
        static char* stack = static_cast<char*>(map(64 << 10));
        stack_t mine = {};
        mine.ss_sp = stack;
        mine.ss_size = 64 << 10;
        sigaltstack(&mine, &stack_before);
        struct sigaction action = {};
        action.sa_sigaction = on_signal;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        for (int i = 0; i < 5; i++) sigaction(signals[i], &action, &before[i]);
    }
    ~Guard() {
        for (int i = 0; i < 5; i++) sigaction(signals[i], &before[i], nullptr);
        sigaltstack(&stack_before, nullptr);
    }
};
#endif
}   // namespace

unsigned char* const dynamic_shared = shared_memory();

// ---- what kernels call ------------------------------------------------------------------------------------------------------

int barrier(int predicate, Site site, int operation) {
    if (!waiting_at_barrier) {
        barrier_site = site;
        barrier_operation = operation;
        barrier_predicates = 0;
    } else if (!same(site, barrier_site) || operation != barrier_operation)
        fail("divergence: a thread waits at the barrier of %s:%d while others wait at that of %s:%d", AT(site), AT(barrier_site));
    barrier_predicates += predicate != 0;
    char* sync = &barriers[barrier_parity];
    __tsan_release(sync);
    if (++waiting_at_barrier == count) {
        const u32 n = barrier_predicates;
        barrier_result = operation == 1 ? (int)n : operation == 2 ? n == count : n != 0;
        waiting_at_barrier = 0;
        barrier_parity ^= 1;
        for (u32 i = 0; i < count; i++)
            if (order[i] != current) make_ready(order[i]);
        if (random_order) {
            make_ready(current);
            go_on();
        }
    } else {
        threads[current].state = at_barrier;
        go_on();
    }
    __tsan_acquire(sync);
    return barrier_result;
}

static u64 result_of(Operation operation, u32 mask, u32 lane, const Thread* warp) {
    const Thread& me = warp[lane];
    u32 first = lane & ~(me.width - 1), last = first + me.width - 1, source = lane;
    u64 out = 0;
    switch (operation) {
    case shuffle: source = first + (me.lane & (me.width - 1)); break;
    case shuffle_up: if (lane >= first + me.lane) source = lane - me.lane; break;
    case shuffle_down: if (lane + me.lane <= last) source = lane + me.lane; break;
    case shuffle_xor: if ((lane ^ me.lane) <= last) source = lane ^ me.lane; break;
    case ballot:
        for (u32 l = 0; l < 32; l++) if (mask >> l & 1 && warp[l].value) out |= 1u << l;
        return out;
    case match_any: case match_all:
        for (u32 l = 0; l < 32; l++) if (mask >> l & 1 && warp[l].value == me.value) out |= 1u << l;
        return operation == match_any || out == mask ? out : 0;
    case sync_warp: return 0;
    default: {
        bool begun = false;
        for (u32 l = 0; l < 32; l++)
            if (mask >> l & 1) {
                u64 v = warp[l].value;
                if (!begun) out = v;
                else if (operation == add) out += v;
                else if (operation == min_signed) out = (int)v < (int)out ? v : out;
                else if (operation == min_unsigned) out = (u32)v < (u32)out ? v : out;
                else if (operation == max_signed) out = (int)v > (int)out ? v : out;
                else if (operation == max_unsigned) out = (u32)v > (u32)out ? v : out;
                else if (operation == bit_and) out &= v;
                else if (operation == bit_or) out |= v;
                else out ^= v;
                begun = true;
            }
        return out;
    }
    }
    return mask >> source & 1 ? warp[source].value : 0xa5a5a5a5ffffffffull;   // a lane that takes no part: undefined
}

u64 collective(Operation operation, u32 mask, u64 value, u32 lane, u32 width, Site site) {
    const u32 self = current, number = self / 32, me = self % 32;
    Thread *t = &threads[self], *warp = &threads[number * 32];
    if (!(mask >> me & 1))
        fail("%s of %s:%d: lane %u calls it with mask %08x, which leaves that lane out", names[operation], AT(site), me, mask);
    if (!width || width > 32 || width & (width - 1))
        fail("%s of %s:%d: width %u is no power of two up to 32", names[operation], AT(site), width);
    t->operation = operation; t->mask = mask; t->value = value; t->lane = lane; t->width = width; t->site = site;
    char* sync = &warps[number * 32 + __builtin_ctz(mask)][warp[__builtin_ctz(mask)].parity];
    if (operation == sync_warp) __tsan_release(sync);
    waiting_in_warp[number] |= 1u << me;
    t->state = at_warp;
    if ((waiting_in_warp[number] & mask) == mask) {
        for (u32 l = 0; l < 32; l++)
            if (mask >> l & 1 && (warp[l].mask != mask || warp[l].operation != operation || !same(warp[l].site, site)))
                fail("divergence: in warp %u lane %u is at %s of %s:%d, mask %08x, lane %u at %s of %s:%d, mask %08x", number,
                     me, names[operation], AT(site), mask, l, names[warp[l].operation], AT(warp[l].site), warp[l].mask);
        waiting_in_warp[number] &= ~mask;
        warp[__builtin_ctz(mask)].parity ^= 1;
        for (u32 l = 0; l < 32; l++)
            if (mask >> l & 1) warp[l].result = result_of(operation, mask, l, warp);
        for (u32 l = 0; l < 32; l++)
            if (mask >> l & 1 && l != me) make_ready(number * 32 + l);
        t->state = runs;
        if (random_order) {
            make_ready(self);
            go_on();
        }
    } else go_on();
    if (operation == sync_warp) __tsan_acquire(sync);
    return t->result;
}

u32 active_mask() {   // lanes that have not returned; nothing says that the device's would be together here
    u32 out = 0, first = current / 32 * 32;
    for (u32 l = 0; l < 32 && first + l < count; l++) out |= (u32)(threads[first + l].state != done) << l;
    return out;
}

void fence() {
    __tsan_acquire(&fences);
    __tsan_release(&fences);
}

void trap(const char* why, Site site) {
    fail("%s of %s:%d", why, AT(site));
    abort();
}

static const char* run(const Module* m, const Kernel* k, const u32* dims, u32 shared, void** args, long long seed) {
    module = m;
    kernel = k;
    arguments = args;
    gridDim = dim3(dims[0], dims[1], dims[2]);
    blockDim = dim3(dims[3], dims[4], dims[5]);
    count = dims[3] * dims[4] * dims[5];
    error[0] = 0;
    random_order = seed > 0;
    random_state = (u64)seed * 0x9e3779b97f4a7c15ull | 1;
    idle_count = fiber_count = barrier_parity = first_fiber = 0;
    memset(threads, 0, count * sizeof(Thread));
    u32 t = 0;
    for (u32 z = 0; z < dims[5]; z++)
        for (u32 y = 0; y < dims[4]; y++)
            for (u32 x = 0; x < dims[3]; x++, t++) {
                threads[t].index = {x, y, z};
                order[t] = seed < 0 ? count - 1 - t : t;
            }
    size_shared(shared);
#ifdef EMULATOR_THREAD
    home_tsan = __tsan_get_current_fiber();
    const bool one = dims[0] == 1 && dims[1] == 1 && dims[2] == 1;
    for (u32 i = 0; i < (one ? most_threads : most_fibers); i++)   // made here, as who makes one is ordered before it
        if (!tsan[i] && i % most_threads < count) tsan[i] = __tsan_create_fiber(0);
#endif
#ifdef EMULATOR_ADDRESS
    __asan_unpoison_memory_region(dynamic_shared, shared_size);
    __asan_poison_memory_region(dynamic_shared + shared, shared_size - shared);
#endif
#if !defined(EMULATOR_THREAD) && !defined(EMULATOR_ADDRESS)
    Guard guard;
    if (sigsetjmp(rescue, 1)) running = &home;
    else
#endif
    for (blockIdx.z = 0; blockIdx.z < dims[2] && !error[0]; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < dims[1] && !error[0]; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < dims[0] && !error[0]; blockIdx.x++) {
                prepare_block(shared, (u64)seed);
                go_on();
                if (!error[0]) check_block(shared, (u64)seed);
            }
    __tsan_acquire(&ends);
    return error[0] ? error : nullptr;
}
}   // namespace emulator

// The launch; null, or what went wrong.
extern "C" EMULATOR_API const char* emulator_launch(const emulator::Module* module, const emulator::Kernel* kernel,
                                                    const unsigned* dims, unsigned shared, void** args, long long seed) {
    return emulator::run(module, kernel, dims, shared, args, seed);
}

// ---- what the compiler's checks call (-fsanitize=alignment,null,bounds,integer-divide-by-zero) ----------------------------

struct Place { const char* file; unsigned line, column; };
struct Mismatch { Place place; const void* type; unsigned char log_alignment, kind; };
extern "C" {
EMULATOR_API void __ubsan_handle_type_mismatch_v1(Mismatch* what, unsigned long at) {
    const unsigned size = 1u << what->log_alignment;
    if (at) emulator::fail("misaligned access: address %#lx is no multiple of %u, %s:%u", at, size, AT(what->place));
    else emulator::fail("access through a null pointer, %s:%u", AT(what->place));
}
EMULATOR_API void __ubsan_handle_pointer_overflow(Place* place, unsigned long, unsigned long) {
    emulator::fail("pointer arithmetic overflows, %s:%u", AT((*place)));
}
EMULATOR_API void __ubsan_handle_out_of_bounds(Place* place, unsigned long index) {
    emulator::fail("out of bounds: index %ld of an array of fixed size, %s:%u", (long)index, AT((*place)));
}
EMULATOR_API void __ubsan_handle_divrem_overflow(Place* place, unsigned long, unsigned long) {
    emulator::fail("integer division by zero, or overflow, %s:%u", AT((*place)));
}
}
