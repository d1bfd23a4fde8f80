// Activation functions and their slopes. An element type of 16 bits takes the hardware's approximations, whose error is far
// below its own; float is right to a few units in the last place, also in the tails. The compiler is told which one is wanted:
// -DACTIVATION=act_gelu, as all of them together take seconds.

#ifndef ACTIVATION
#define ACTIVATION act_none
#endif

template <class T> __device__ inline acc<T> exponential(acc<T> x) {
    if constexpr (sizeof(T) == 2) return __expf(x);
    else if constexpr (sizeof(T) == 4) return expf(x);
    else return exp(x);
}
template <class T> __device__ inline acc<T> quotient(acc<T> x, acc<T> y) {   // y between 2^-126 and 2^126
    if constexpr (sizeof(T) == 2) return __fdividef(x, y);
    else return x / y;
}

// sigmoid(x) and sigmoid(-x); only exponentials of numbers that are not positive.
template <class T> __device__ inline void logistic(acc<T> x, acc<T>& s, acc<T>& c) {
    typedef acc<T> A;
    const A e = exponential<T>(x < A(0) ? x : -x), r = quotient<T>(A(1), A(1) + e), small = e * r;
    s = x < A(0) ? small : r;
    c = x < A(0) ? r : small;
}
template <class A> __device__ inline A limited(A x, A limit) {   // NaN stays
    return x > limit ? limit : x < -limit ? -limit : x;
}

// Phi(x), the normal distribution's function, and x times its density. In float: exp(-x^2/2), with what rounding the square
// loses, times exp(z^2) erfc(z) / 2 at z = |x| / sqrt(2), which over 1 + 1.5 z is a polynomial in (z - 3) / (z + 3)
// (interpolation at Chebyshev nodes for z up to 10, relative error 2.8e-9; kernels/_activations.py has the same).
template <class T> __device__ inline void normal(float x, float& phi, float& bump) {
    const float y = limited(x, 16.0f), z = fabsf(y) * 0.70710678118654752f;
    const float square = y * y, lost = fmaf(y, y, -square);
    float e = exponential<T>(-0.5f * square);
    e = fmaf(-0.5f * lost, e, e);
    const float q = __fdividef(z - 3.0f, z + 3.0f);
    float p = fmaf(q, -0.00019527260388f, -0.00059461212663f);
    p = fmaf(p, q, 0.001345541262f);
    p = fmaf(p, q, 0.0021146621644f);
    p = fmaf(p, q, -0.016774332703f);
    p = fmaf(p, q, 0.045121516592f);
    p = fmaf(p, q, -0.07153822228f);
    p = fmaf(p, q, 0.059705975473f);
    p = fmaf(p, q, 0.025729249891f);
    p = fmaf(p, q, -0.18327424796f);
    p = fmaf(p, q, 0.9845063311f);
    const float tail = 0.5f * e * quotient<T>(p, fmaf(z, 1.5f, 1.0f));
    phi = x < 0.0f ? tail : 1.0f - tail;
    bump = y * e * 0.3989422804014327f;
}
template <class T> __device__ inline void normal(double x, double& phi, double& bump) {
    const double y = limited(x, 40.0);
    phi = 0.5 * erfc(y * -0.70710678118654752440);
    bump = y * exp(-0.5 * y * y) * 0.39894228040143267794;
}

// gelu_tanh: x sigmoid(2u), 2u = x (rate + cubic x^2); beyond 32 nothing changes any more.
template <class A> constexpr A rate = A(1.5957691216057307);     // 2 sqrt(2 / pi)
template <class A> constexpr A cubic = A(0.07135481627260025);   // 0.044715 times that

// gradient(g, z): g times the slope, z the result where `from_output`, else the argument.
struct act_none {
    static constexpr bool from_output = true;
    template <class T> static __device__ acc<T> value(acc<T> z) { return z; }
    template <class T> static __device__ acc<T> gradient(acc<T> g, acc<T>) { return g; }
};
struct act_relu {
    static constexpr bool from_output = true;
    template <class T> static __device__ acc<T> value(acc<T> z) { return z <= acc<T>(0) ? acc<T>(0) : z; }
    template <class T> static __device__ acc<T> gradient(acc<T> g, acc<T> out) { return out > acc<T>(0) ? g : acc<T>(0); }
};
struct act_sigmoid {
    static constexpr bool from_output = true;
    template <class T> static __device__ acc<T> value(acc<T> z) {
        acc<T> s, c;
        logistic<T>(z, s, c);
        return s;
    }
    template <class T> static __device__ acc<T> gradient(acc<T> g, acc<T> out) { return g * out * (acc<T>(1) - out); }
};
struct act_tanh {
    static constexpr bool from_output = true;
    template <class T> static __device__ acc<T> value(acc<T> z) {
        if constexpr (sizeof(T) == 8) return tanh(z);
        else return tanhf(z);
    }
    template <class T> static __device__ acc<T> gradient(acc<T> g, acc<T> out) { return g * (acc<T>(1) - out * out); }
};
struct act_silu {
    static constexpr bool from_output = false;
    template <class T> static __device__ acc<T> value(acc<T> z) { return z * act_sigmoid::value<T>(z); }
    template <class T> static __device__ acc<T> gradient(acc<T> g, acc<T> z) {
        acc<T> s, c;
        logistic<T>(z, s, c);
        return g * (s * (acc<T>(1) + limited(z, acc<T>(1000)) * c));
    }
};
struct act_gelu {
    static constexpr bool from_output = false;
    template <class T> static __device__ acc<T> value(acc<T> z) {
        acc<T> phi, bump;
        normal<T>(z, phi, bump);
        return z * phi;
    }
    template <class T> static __device__ acc<T> gradient(acc<T> g, acc<T> z) {
        acc<T> phi, bump;
        normal<T>(z, phi, bump);
        return g * (phi + bump);
    }
};
struct act_gelu_tanh {
    static constexpr bool from_output = false;
    template <class T> static __device__ acc<T> value(acc<T> z) {
        typedef acc<T> A;
        const A x = limited(z, A(32));
        return z * act_sigmoid::value<T>(x * (rate<A> + cubic<A> * (x * x)));
    }
    template <class T> static __device__ acc<T> gradient(acc<T> g, acc<T> z) {
        typedef acc<T> A;
        const A x = limited(z, A(32)), square = x * x;
        A s, c;
        logistic<T>(x * (rate<A> + cubic<A> * square), s, c);
        return g * (s * (A(1) + x * c * (rate<A> + A(3) * cubic<A> * square)));
    }
};
