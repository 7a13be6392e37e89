/* What the Python side of the kernels shares: buffers in, hits out. Limited API of Python 3.11: one binary for all later. */
#ifndef HASHWARD_BUFFERS_H
#define HASHWARD_BUFFERS_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include "core.h"

/* The kernel of that name, or with NULL the fastest; NULL and ValueError where this machine has none such. */
const hw_kernel *hw_kernel_named(const char *name);
/* Whether every bit is taken from inside the value; 0 and ValueError where not. */
int hw_bits_hold(const uint8_t *source_bit, int words);
/* A buffer of at least so many bytes; -1 and an exception where it is smaller. Given back by hw_give_back. */
int hw_take(PyObject *object, Py_buffer *view, int flags, size_t bytes);
void hw_give_back(Py_buffer *views, size_t count);
PyObject *hw_hits_as_bytes(const hw_hits *hits);

extern PyType_Spec hw_index_spec, hw_digests_spec;

#endif
