/* MD5, SHA-1 and SHA-256 together, for Python. The GIL is released while they are made. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include "digests.h"
#include "python_digests.h"

#define LEAST_BYTES_ALONE 2048 /* below this, giving the GIL away costs more than it saves, as hashlib finds too */

typedef struct {
    PyObject_HEAD
    int busy; /* the GIL is released meanwhile: another thread is to keep off */
    hw_digests digests;
} Digests;

static PyObject *digests_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    (void)keywords;
    if (!PyArg_ParseTuple(args, ""))
        return NULL;
    if (!hw_digests_usable()) {
        PyErr_SetString(PyExc_ValueError, "this machine lacks the SHA extensions");
        return NULL;
    }
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Digests *self = (Digests *)make(type, 0);
    if (self)
        hw_digests_begin(&self->digests);
    return (PyObject *)self;
}

static void digests_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static int is_free(Digests *self)
{
    if (self->busy)
        PyErr_SetString(PyExc_RuntimeError, "another thread is at it");
    return !self->busy;
}

static PyObject *digests_update(PyObject *object, PyObject *args)
{
    Digests *self = (Digests *)object;
    Py_buffer bytes;
    if (!PyArg_ParseTuple(args, "y*", &bytes))
        return NULL;
    int ours = is_free(self);
    if (ours && bytes.len < LEAST_BYTES_ALONE)
        hw_digests_update(&self->digests, bytes.buf, (size_t)bytes.len);
    else if (ours) {
        self->busy = 1;
        Py_BEGIN_ALLOW_THREADS
        hw_digests_update(&self->digests, bytes.buf, (size_t)bytes.len);
        Py_END_ALLOW_THREADS
        self->busy = 0;
    }
    PyBuffer_Release(&bytes);
    return ours ? Py_NewRef(Py_None) : NULL;
}

static PyObject *digests_digests(PyObject *object, PyObject *nothing)
{
    (void)nothing;
    Digests *self = (Digests *)object;
    char md5[HW_MD5_BYTES], sha1[HW_SHA1_BYTES], sha256[HW_SHA256_BYTES];
    if (!is_free(self))
        return NULL;
    hw_digests_end(&self->digests, (uint8_t *)md5, (uint8_t *)sha1, (uint8_t *)sha256);
    return Py_BuildValue("y#y#y#", md5, (Py_ssize_t)sizeof md5, sha1, (Py_ssize_t)sizeof sha1, sha256,
                         (Py_ssize_t)sizeof sha256);
}

static PyMethodDef methods[] = {
    {"update", digests_update, METH_VARARGS, "update(bytes): the next bytes."},
    {"digests", digests_digests, METH_NOARGS, "MD5, SHA-1 and SHA-256 of the bytes so far."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_new, digests_new}, {Py_tp_dealloc, digests_dealloc}, {Py_tp_methods, methods}, {0, NULL}};

static PyType_Spec spec = {"scanner.hashing._native.Digests", sizeof(Digests), 0, Py_TPFLAGS_DEFAULT, slots};

int add_digests(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&spec);
    int status = type ? PyModule_AddObjectRef(module, "Digests", type) : -1;
    Py_XDECREF(type);
    return status ? status : PyModule_AddObjectRef(module, "DIGESTS", hw_digests_usable() ? Py_True : Py_False);
}
