// A CUDA runtime and driver that launch nothing: memory is the host's, kernels are not run, everything succeeds.
// The functions stand behind CuPy's compiled modules in place of their own (observe.py).
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static PyObject *attributes;
static intptr_t next_handle = 0x1000;

void set_attributes(PyObject *found) { Py_XINCREF(found); attributes = found; }

PyObject *none(void) { Py_RETURN_NONE; }
int zero(void) { return 0; }
int one(void) { return 1; }
unsigned unsigned_zero(void) { return 0; }
size_t size_zero(void) { return 0; }
int version(void) { return 13000; }
int function_attribute(void) { return 1024; }
intptr_t handle(void) { return next_handle += 16; }
PyObject *pointer_attributes(void) { Py_INCREF(attributes); return attributes; }
PyObject *compiler_version(void) { return Py_BuildValue("ii", 12, 9); }
PyObject *occupancy(void) { return Py_BuildValue("ii", 132, 256); }
PyObject *memory_info(void) { return Py_BuildValue("nn", (Py_ssize_t)1 << 33, (Py_ssize_t)1 << 34); }
PyObject *properties(void) {
    return Py_BuildValue("{s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:(iii)}", "maxThreadsPerBlock", 1024, "warpSize", 32, "multiProcessorCount", 132,
                         "major", 9, "minor", 0, "sharedMemPerBlock", 49152, "regsPerBlock", 65536, "maxGridSize", 2147483647, 65535, 65535);
}

// cudaDevAttr: threads a block, warp, multiprocessors, compute capability
int device_attribute(int which) { return which == 1 ? 1024 : which == 10 ? 32 : which == 16 ? 132 : which == 75 ? 9 : which == 76 ? 0 : 1; }

intptr_t allocate(size_t size) { return (intptr_t)calloc(size + 512, 1); }
PyObject *release(intptr_t at) { free((void *)at); Py_RETURN_NONE; }
PyObject *copy(intptr_t to, intptr_t from, size_t size) { memcpy((void *)to, (void *)from, size); Py_RETURN_NONE; }
PyObject *fill(intptr_t to, int value, size_t size) { memset((void *)to, value, size); Py_RETURN_NONE; }
