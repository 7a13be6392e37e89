/* Digests: rows searched by equality, over buffers that NumPy or a memory map owns. */
#include "buffers.h"

enum { HEADS, TAILS, SORTED_ROW, PREFIXES, DIGEST_VIEWS };

typedef struct {
    PyObject_HEAD
    hw_digests of;
    Py_buffer views[DIGEST_VIEWS];
} DigestsObject;

static int digests_fill(DigestsObject *self, PyObject *args)
{
    PyObject *heads, *tails, *row, *prefixes;
    unsigned long long n, width;
    hw_digests *of = &self->of;
    if (!PyArg_ParseTuple(args, "KKiOOOO", &n, &width, &of->prefix_bits, &heads, &tails, &row, &prefixes))
        return -1;
    of->n = (size_t)n;
    of->width = (size_t)width;
    if (n > 0xffffffffULL || width <= 8 || width > 64 || of->prefix_bits < 0 || of->prefix_bits > 30) {
        PyErr_SetString(PyExc_ValueError, "digests of that shape cannot be");
        return -1;
    }
    size_t bounds = ((size_t)1 << of->prefix_bits) + 1;
    if (hw_take(heads, &self->views[HEADS], PyBUF_SIMPLE, of->n * 8) < 0 ||
        hw_take(tails, &self->views[TAILS], PyBUF_SIMPLE, of->n * (of->width - 8)) < 0 ||
        hw_take(row, &self->views[SORTED_ROW], PyBUF_SIMPLE, of->n * 4) < 0 ||
        hw_take(prefixes, &self->views[PREFIXES], PyBUF_SIMPLE, bounds * 4) < 0)
        return -1;
    of->heads = self->views[HEADS].buf;
    of->tails = self->views[TAILS].buf;
    of->row = self->views[SORTED_ROW].buf;
    of->offsets = self->views[PREFIXES].buf;
    unsigned falls = of->offsets[bounds - 1] != n;
    for (size_t p = 0; p + 1 < bounds; p++)
        falls |= of->offsets[p] > of->offsets[p + 1];
    if (falls) {
        PyErr_SetString(PyExc_ValueError, "the prefixes contradict themselves");
        return -1;
    }
    return 0;
}

static PyObject *digests_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    (void)keywords;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    DigestsObject *self = (DigestsObject *)allocate(type, 0);
    if (self && digests_fill(self, args) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void digests_free(PyObject *object)
{
    DigestsObject *self = (DigestsObject *)object;
    PyTypeObject *type = Py_TYPE(object);
    hw_give_back(self->views, DIGEST_VIEWS);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static int digests_run(const DigestsObject *self, const uint8_t *dead, const uint8_t *values, size_t count, hw_hits *hits)
{
    int status = hw_digest_find(&self->of, dead, values, count, hits);
    return status < 0 ? -1 : hw_sort(hits->key, hits->count);
}

/* search(values, count, dead) */
static PyObject *digests_search(PyObject *object, PyObject *args)
{
    DigestsObject *self = (DigestsObject *)object;
    PyObject *values, *dead, *result = NULL;
    Py_buffer views[2] = {{0}, {0}};
    unsigned long long count;
    int status;
    if (!PyArg_ParseTuple(args, "OKO", &values, &count, &dead))
        return NULL;
    if (count > HW_QUERY_LIMIT) {
        PyErr_SetString(PyExc_ValueError, "too many queries at once");
        return NULL;
    }
    if (hw_take(values, &views[0], PyBUF_SIMPLE, (size_t)count * self->of.width) < 0 ||
        (dead != Py_None && hw_take(dead, &views[1], PyBUF_SIMPLE, (self->of.n + 7) / 8) < 0))
        goto done;
    hw_hits hits = {0};
    Py_BEGIN_ALLOW_THREADS
    status = digests_run(self, views[1].buf, views[0].buf, (size_t)count, &hits);
    Py_END_ALLOW_THREADS
    if (status < 0)
        PyErr_NoMemory();
    else
        result = hw_hits_as_bytes(&hits);
    free(hits.key);
done:
    hw_give_back(views, 2);
    return result;
}

/* value in digests: for the caller with one value and no use for its row. */
static int digests_contains(PyObject *object, PyObject *value)
{
    DigestsObject *self = (DigestsObject *)object;
    char *digest;
    Py_ssize_t width;
    if (PyBytes_AsStringAndSize(value, &digest, &width) < 0)
        return -1;
    if ((size_t)width != self->of.width)
        return 0;
    return hw_digest_has(&self->of, (const uint8_t *)digest);
}

static PyMethodDef digests_methods[] = {
    {"search", digests_search, METH_VARARGS, "search(values, count, dead) -> three bytearrays, or None"},
    {NULL, NULL, 0, NULL}};

static PyType_Slot digests_slots[] = {{Py_tp_new, digests_new},
                                      {Py_tp_dealloc, digests_free},
                                      {Py_tp_methods, digests_methods},
                                      {Py_sq_contains, digests_contains},
                                      {Py_tp_doc, "Digests searched by equality; holds the buffers it was given."},
                                      {0, NULL}};

PyType_Spec hw_digests_spec = {"hashsets.matching._native.Digests", sizeof(DigestsObject), 0, Py_TPFLAGS_DEFAULT,
                                   digests_slots};
