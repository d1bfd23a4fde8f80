#include "tensorlite.cuh"
#include "lists.cuh"

template <class P, class S>
__device__ void adam(OPTIMIZER_PARAMETERS, double beta1, double beta2, double eps, double weight_decay, i64 decoupled) {
    typedef acc<P> A;
    if (overflow(found_inf)) return;
    const part at = part_of_block(grads, n, places, chunk);
    __shared__ A rate_of_block, root_of_block, shrink_of_block;
    if (threadIdx.x == 0) {
        const double now = rate_of(lr, lr_at, lr_bytes);
        const i64 t = steps[at.array] + 1;
        rate_of_block = A(now / (1.0 - power(beta1, t)));
        root_of_block = A(1.0 / sqrt(1.0 - power(beta2, t)));
        shrink_of_block = A(decoupled ? 1.0 - now * weight_decay : 1.0);
    }
    if (comes_last(steps + n)) count_steps<P, S>(rows, grads, n, steps);
    const A rate = rate_of_block, root = root_of_block, shrink = shrink_of_block;
    const A new1 = A(1.0 - beta1), b2 = A(beta2), new2 = A(1.0 - beta2), small = A(eps);
    const A factor = A(sign * inverse(grad_scale)), decay = A(decoupled ? 0.0 : weight_decay);
    const bool amsgrad = rows[at.array * COLUMNS + STATE + 2] != 0;
    update_any<3, P, S>(rows, grads, n, at, [=](A g, A& p, A* state) {
        A d = factor * g;
        if (decay != 0) d += decay * p;
        A &m = state[0], &v = state[1], &top = state[2];
        m += new1 * (d - m);
        v = b2 * v + new2 * d * d;
        if (amsgrad) top = top > v ? top : v;
        p = p * shrink - rate * m / (sqrt(amsgrad ? top : v) * root + small);
    });
}

#define ENTRY(suffix, P, S, blocks)                                                                                       \
    extern "C" __global__ void __launch_bounds__(256, blocks) adam_##suffix(                                              \
        OPTIMIZER_PARAMETERS, double beta1, double beta2, double eps, double weight_decay, i64 decoupled) {               \
        adam<P, S>(OPTIMIZER_ARGUMENTS, beta1, beta2, eps, weight_decay, decoupled);                                      \
    }
OPTIMIZER_ENTRIES(ENTRY)
