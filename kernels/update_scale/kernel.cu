#include "tensorlite.cuh"

extern "C" __global__ void update_scale(float* scale, int* tracker, const float* found_inf, double growth, double backoff,
                                        i64 interval) {
    if (*found_inf != 0) {
        *scale = (float)((double)*scale * backoff);
        *tracker = 0;
    } else if (++*tracker == interval) {
        const float grown = (float)((double)*scale * growth);
        if (grown - grown == 0) *scale = grown;   // not inf
        *tracker = 0;
    }
}
