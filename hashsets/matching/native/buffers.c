/* Buffers in, hits out: what both types and the functions of the module need. */
#include "buffers.h"

const hw_kernel *hw_kernel_named(const char *name)
{
    const hw_kernel *known[] = {hw_kernel_avx512(), hw_kernel_avx2(), hw_kernel_neon(), hw_kernel_portable()};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i] && (!name || strcmp(known[i]->name, name) == 0))
            return known[i];
    PyErr_SetString(PyExc_ValueError, "no such kernel on this machine");
    return NULL;
}

int hw_bits_hold(const uint8_t *source_bit, int words)
{
    for (int bit = 0; bit < 64 * words; bit++)
        if (source_bit[bit] >= 64 * words) {
            PyErr_SetString(PyExc_ValueError, "a bit is taken from outside the value");
            return 0;
        }
    return 1;
}

int hw_take(PyObject *object, Py_buffer *view, int flags, size_t bytes)
{
    if (PyObject_GetBuffer(object, view, flags) < 0)
        return -1;
    if ((size_t)view->len >= bytes)
        return 0;
    PyBuffer_Release(view);
    memset(view, 0, sizeof *view);
    PyErr_SetString(PyExc_ValueError, "a buffer is smaller than its shape says");
    return -1;
}

void hw_give_back(Py_buffer *views, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (views[i].obj)
            PyBuffer_Release(&views[i]);
}

/* Three bytearrays (query rows int64, listed rows int64, distances int32), or None where nothing was found. */
PyObject *hw_hits_as_bytes(const hw_hits *hits)
{
    if (hits->count == 0)
        Py_RETURN_NONE;
    Py_ssize_t count = (Py_ssize_t)hits->count;
    PyObject *query = PyByteArray_FromStringAndSize(NULL, count * 8);
    PyObject *row = PyByteArray_FromStringAndSize(NULL, count * 8);
    PyObject *distance = PyByteArray_FromStringAndSize(NULL, count * 4);
    PyObject *result = query && row && distance ? PyTuple_Pack(3, query, row, distance) : NULL;
    if (result) {
        int64_t *q = (int64_t *)PyByteArray_AsString(query), *r = (int64_t *)PyByteArray_AsString(row);
        int32_t *d = (int32_t *)PyByteArray_AsString(distance);
        for (Py_ssize_t i = 0; i < count; i++) {
            q[i] = HW_KEY_QUERY(hits->key[i]);
            r[i] = HW_KEY_ROW(hits->key[i]);
            d[i] = HW_KEY_DISTANCE(hits->key[i]);
        }
    }
    Py_XDECREF(query);
    Py_XDECREF(row);
    Py_XDECREF(distance);
    return result;
}
