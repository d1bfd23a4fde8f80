#include "tensorlite.cuh"
#include "lists.cuh"

template <class P, class S>
__device__ void sgd(OPTIMIZER_PARAMETERS, double momentum, double dampening, double weight_decay, i64 nesterov) {
    typedef acc<P> A;
    if (overflow(found_inf)) return;
    const part at = part_of_block(grads, n, places, chunk);
    __shared__ bool first_of_block;
    if (threadIdx.x == 0) first_of_block = steps[at.array] == 0;
    if (comes_last(steps + n)) count_steps<P, S>(rows, grads, n, steps);
    const bool first = first_of_block;
    const A rate = A(rate_of(lr, lr_at, lr_bytes)), u = A(momentum), keep = A(1.0 - dampening), decay = A(weight_decay);
    const A factor = A(sign * inverse(grad_scale));
    auto direction = [=](A g, A p) {
        const A d = factor * g;
        return decay != 0 ? d + decay * p : d;
    };
    if (momentum == 0) {
        update_any<0, P, S>(rows, grads, n, at, [=](A g, A& p, A*) { p -= rate * direction(g, p); });
        return;
    }
    update_any<1, P, S>(rows, grads, n, at, [=](A g, A& p, A* state) {
        const A d = direction(g, p);
        A& b = state[0];
        b = first ? d : u * b + keep * d;
        p -= rate * (nesterov ? d + u * b : b);
    });
}

#define ENTRY(suffix, P, S, blocks)                                                                                       \
    extern "C" __global__ void __launch_bounds__(256, blocks) sgd_##suffix(                                               \
        OPTIMIZER_PARAMETERS, double momentum, double dampening, double weight_decay, i64 nesterov) {                     \
        sgd<P, S>(OPTIMIZER_ARGUMENTS, momentum, dampening, weight_decay, nesterov);                                      \
    }
OPTIMIZER_ENTRIES(ENTRY)
