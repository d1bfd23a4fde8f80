#include "tensorlite.cuh"
#include "lists.cuh"

template <class P, class S>
__device__ void rmsprop(OPTIMIZER_PARAMETERS, double alpha, double eps, double momentum, double weight_decay) {
    typedef acc<P> A;
    if (overflow(found_inf)) return;
    const part at = part_of_block(grads, n, places, chunk);
    if (comes_last(steps + n)) count_steps<P, S>(rows, grads, n, steps);
    const A rate = A(rate_of(lr, lr_at, lr_bytes)), keep = A(alpha), fresh = A(1.0 - alpha), small = A(eps), u = A(momentum);
    const A factor = A(sign * inverse(grad_scale)), decay = A(weight_decay);
    const bool centered = rows[at.array * COLUMNS + STATE + 1] != 0, summed = momentum != 0;
    update_any<3, P, S>(rows, grads, n, at, [=](A g, A& p, A* state) {
        A d = factor * g;
        if (decay != 0) d += decay * p;
        A &v = state[0], &mean = state[1], &b = state[2];
        v = keep * v + fresh * d * d;
        if (centered) mean += fresh * (d - mean);
        d /= sqrt(centered ? v - mean * mean : v) + small;
        if (summed) d = b = u * b + d;
        p -= rate * d;
    });
}

#define ENTRY(suffix, P, S, blocks)                                                                                       \
    extern "C" __global__ void __launch_bounds__(256, 3) rmsprop_##suffix(                                                \
        OPTIMIZER_PARAMETERS, double alpha, double eps, double momentum, double weight_decay) {                           \
        rmsprop<P, S>(OPTIMIZER_ARGUMENTS, alpha, eps, momentum, weight_decay);                                           \
    }
OPTIMIZER_ENTRIES(ENTRY)
