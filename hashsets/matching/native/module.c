/* hashsets.matching._native: the kernels as Python objects over buffers that NumPy or a memory map owns.
 *
 * Shapes and sizes are checked here, so that no argument can make a kernel read or write outside its buffers; dtypes are the
 * wrapper's business. The GIL is released while searching and building. Limited API of Python 3.11: one binary for all later.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include "core.h"

static const hw_kernel *kernel_named(const char *name)
{
    const hw_kernel *known[] = {hw_kernel_avx512(), hw_kernel_avx2(), hw_kernel_neon(), hw_kernel_portable()};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i] && (!name || strcmp(known[i]->name, name) == 0))
            return known[i];
    PyErr_SetString(PyExc_ValueError, "no such kernel on this machine");
    return NULL;
}

static int bits_hold(const uint8_t *source_bit, int words)
{
    for (int bit = 0; bit < 64 * words; bit++)
        if (source_bit[bit] >= 64 * words) {
            PyErr_SetString(PyExc_ValueError, "a bit is taken from outside the value");
            return 0;
        }
    return 1;
}

static int take(PyObject *object, Py_buffer *view, int flags, size_t bytes)
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

static void give_back(Py_buffer *views, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (views[i].obj)
            PyBuffer_Release(&views[i]);
}

/* Three bytearrays (query rows int64, listed rows int64, distances int32), or None where nothing was found. */
static PyObject *hits_as_bytes(const hw_hits *hits)
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

/* ------------------------------------------------------------------ Index: rows by Hamming distance */

enum { ROWS, OFFSETS, NEXT, NEXT2, ROW, PLANES, INDEX_VIEWS };

typedef struct {
    PyObject_HEAD
    hw_index index;
    const hw_kernel *kernel;
    uint8_t source_bit[64 * HW_MAX_WORDS];
    Py_buffer views[INDEX_VIEWS];
} IndexObject;

static int index_tables(IndexObject *self, PyObject *arrays[], const uint8_t *chunks, size_t tables)
{
    hw_index *index = &self->index;
    size_t n = index->n;
    if (tables > (size_t)index->chunks || take(arrays[OFFSETS], &self->views[OFFSETS], PyBUF_SIMPLE, tables * HW_OFFSETS * 4) < 0 ||
        take(arrays[NEXT], &self->views[NEXT], PyBUF_SIMPLE, tables * n * 2 + HW_PAD_BYTES) < 0 ||
        take(arrays[ROW], &self->views[ROW], PyBUF_SIMPLE, tables * n * 4) < 0)
        return -1;
    if (arrays[NEXT2] != Py_None &&
        take(arrays[NEXT2], &self->views[NEXT2], PyBUF_SIMPLE, tables * n * 2 + HW_PAD_BYTES) < 0)
        return -1;
    for (size_t t = 0; t < tables; t++) {
        hw_table *table = &index->table[t];
        table->chunk = chunks[t];
        table->offsets = (const uint32_t *)self->views[OFFSETS].buf + t * HW_OFFSETS;
        table->next = (const uint16_t *)self->views[NEXT].buf + t * n;
        table->next2 = self->views[NEXT2].buf ? (const uint16_t *)self->views[NEXT2].buf + t * n : NULL;
        table->row = (const uint32_t *)self->views[ROW].buf + t * n;
        if (table->chunk >= index->chunks || !hw_offsets_hold(table->offsets, n)) {
            PyErr_SetString(PyExc_ValueError, "the tables contradict themselves");
            return -1;
        }
    }
    index->tables = (int)tables;
    return 0;
}

static int index_fill(IndexObject *self, PyObject *args)
{
    hw_index *index = &self->index;
    PyObject *arrays[INDEX_VIEWS];
    Py_buffer source = {0}, chunks = {0};
    const char *kernel;
    unsigned long long n;
    if (!PyArg_ParseTuple(args, "zKiiy*y*OOOOOO", &kernel, &n, &index->words, &index->planes, &source, &chunks, &arrays[ROWS],
                          &arrays[OFFSETS], &arrays[NEXT], &arrays[NEXT2], &arrays[ROW], &arrays[PLANES]))
        return -1;
    int status = -1;
    index->n = (size_t)n;
    index->chunks = 4 * index->words;
    self->kernel = kernel_named(kernel);
    if (!self->kernel)
        goto done;
    if (n > 0xffffffffULL || index->words < 1 || index->words > HW_MAX_WORDS || index->planes < 1 ||
        index->planes > HW_MAX_PLANES || index->planes > 2 * index->words || source.len != 64 * index->words) {
        PyErr_SetString(PyExc_ValueError, "an index of that shape cannot be");
        goto done;
    }
    memcpy(self->source_bit, source.buf, (size_t)source.len);
    if (!bits_hold(self->source_bit, index->words))
        goto done;
    if (take(arrays[ROWS], &self->views[ROWS], PyBUF_SIMPLE, index->n * 8 * (size_t)index->words) < 0)
        goto done;
    index->rows = self->views[ROWS].buf;
    if (chunks.len && index_tables(self, arrays, chunks.buf, (size_t)chunks.len) < 0)
        goto done;
    if (arrays[PLANES] != Py_None) {
        size_t groups = (index->n + HW_GROUP - 1) / HW_GROUP;
        if (take(arrays[PLANES], &self->views[PLANES], PyBUF_SIMPLE, groups * HW_GROUP * 4 * (size_t)index->planes) < 0)
            goto done;
        index->plane = self->views[PLANES].buf;
    }
    status = 0;
done:
    PyBuffer_Release(&source);
    PyBuffer_Release(&chunks);
    return status;
}

static PyObject *index_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    (void)keywords;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    IndexObject *self = (IndexObject *)allocate(type, 0);
    if (self && index_fill(self, args) < 0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "an index of that shape cannot be");
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void index_free(PyObject *object)
{
    IndexObject *self = (IndexObject *)object;
    PyTypeObject *type = Py_TYPE(object);
    give_back(self->views, INDEX_VIEWS);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static int run(const hw_kernel *kernel, const hw_index *index, const uint8_t *source_bit, int strategy, int radius,
               const uint8_t *values, size_t count, hw_hits *hits)
{
    hw_plan plan;
    uint64_t few[8 * HW_MAX_WORDS];
    uint64_t *queries = count <= 8 ? few : malloc(count * 8 * (size_t)index->words);
    if (!queries)
        return -1;
    kernel->permute(source_bit, index->words, values, count, queries);
    int planned = hw_plan_make(index, radius, &plan), status = -2;
    if (strategy == HW_AUTO)
        strategy = (int)hw_choose(index, &plan, planned, radius, count);
    if (strategy == HW_PROBE && planned == 0)
        status = kernel->probe(index, &plan, queries, count, hits);
    else if (strategy == HW_JOIN && planned == 0)
        status = kernel->join(index, &plan, queries, count, hits);
    else if (strategy == HW_STREAM && planned == 0)
        status = kernel->stream(index, &plan, queries, count, hits);
    else if (strategy == HW_PLANES && index->plane)
        status = kernel->planes(index, radius, queries, count, hits);
    else if (strategy == HW_SCAN)
        status = kernel->scan(index, radius, queries, count, hits);
    if (queries != few)
        free(queries);
    return status;
}

/* search(values, count, radius, strategy, dead) */
static PyObject *index_search(PyObject *object, PyObject *args)
{
    IndexObject *self = (IndexObject *)object;
    PyObject *values, *dead, *result = NULL;
    Py_buffer views[2] = {{0}, {0}};
    unsigned long long count;
    int radius, strategy, status;
    if (!PyArg_ParseTuple(args, "OKiiO", &values, &count, &radius, &strategy, &dead))
        return NULL;
    hw_index index = self->index;
    if (count > HW_QUERY_LIMIT || radius < 0 || radius > 64 * index.words) {
        PyErr_SetString(PyExc_ValueError, "too many queries at once, or a radius past the value's bits");
        return NULL;
    }
    if (take(values, &views[0], PyBUF_SIMPLE, (size_t)count * 8 * (size_t)index.words) < 0 ||
        (dead != Py_None && take(dead, &views[1], PyBUF_SIMPLE, (index.n + 7) / 8) < 0))
        goto done;
    index.dead = views[1].buf;
    hw_hits hits = {0};
    Py_BEGIN_ALLOW_THREADS
    status = run(self->kernel, &index, self->source_bit, strategy, radius, views[0].buf, (size_t)count, &hits);
    Py_END_ALLOW_THREADS
    if (status == -2)
        PyErr_SetString(PyExc_ValueError, "this index cannot be searched that way");
    else if (status < 0)
        PyErr_NoMemory();
    else
        result = hits_as_bytes(&hits);
    free(hits.key);
done:
    give_back(views, 2);
    return result;
}

static PyMethodDef index_methods[] = {
    {"search", index_search, METH_VARARGS, "search(values, count, radius, strategy, dead) -> three bytearrays, or None"},
    {NULL, NULL, 0, NULL}};

static PyType_Slot index_slots[] = {{Py_tp_new, index_new},
                                    {Py_tp_dealloc, index_free},
                                    {Py_tp_methods, index_methods},
                                    {Py_tp_doc, "Rows searched by Hamming distance; holds the buffers it was given."},
                                    {0, NULL}};

static PyType_Spec index_spec = {"hashsets.matching._native.Index", sizeof(IndexObject), 0, Py_TPFLAGS_DEFAULT, index_slots};

/* ------------------------------------------------------------------ Digests: rows by equality */

enum { SORTED, SORTED_ROW, PREFIXES, DIGEST_VIEWS };

typedef struct {
    PyObject_HEAD
    size_t n, width;
    int prefix_bits;
    Py_buffer views[DIGEST_VIEWS];
} DigestsObject;

static int digests_fill(DigestsObject *self, PyObject *args)
{
    PyObject *sorted, *row, *prefixes;
    unsigned long long n, width;
    if (!PyArg_ParseTuple(args, "KKiOOO", &n, &width, &self->prefix_bits, &sorted, &row, &prefixes))
        return -1;
    self->n = (size_t)n;
    self->width = (size_t)width;
    if (n > 0xffffffffULL || width < 8 || width > 64 || self->prefix_bits < 0 || self->prefix_bits > 30) {
        PyErr_SetString(PyExc_ValueError, "digests of that shape cannot be");
        return -1;
    }
    size_t bounds = ((size_t)1 << self->prefix_bits) + 1;
    if (take(sorted, &self->views[SORTED], PyBUF_SIMPLE, self->n * self->width) < 0 ||
        take(row, &self->views[SORTED_ROW], PyBUF_SIMPLE, self->n * 4) < 0 ||
        take(prefixes, &self->views[PREFIXES], PyBUF_SIMPLE, bounds * 4) < 0)
        return -1;
    const uint32_t *offsets = self->views[PREFIXES].buf;
    unsigned falls = offsets[bounds - 1] != n;
    for (size_t p = 0; p + 1 < bounds; p++)
        falls |= offsets[p] > offsets[p + 1];
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
    give_back(self->views, DIGEST_VIEWS);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static int digests_run(const DigestsObject *self, const uint8_t *dead, const uint8_t *values, size_t count, hw_hits *hits)
{
    int status = hw_digest_find(self->views[SORTED].buf, self->views[SORTED_ROW].buf, self->n, self->width, self->prefix_bits,
                                self->views[PREFIXES].buf, dead, values, count, hits);
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
    if (take(values, &views[0], PyBUF_SIMPLE, (size_t)count * self->width) < 0 ||
        (dead != Py_None && take(dead, &views[1], PyBUF_SIMPLE, (self->n + 7) / 8) < 0))
        goto done;
    hw_hits hits = {0};
    Py_BEGIN_ALLOW_THREADS
    status = digests_run(self, views[1].buf, views[0].buf, (size_t)count, &hits);
    Py_END_ALLOW_THREADS
    if (status < 0)
        PyErr_NoMemory();
    else
        result = hits_as_bytes(&hits);
    free(hits.key);
done:
    give_back(views, 2);
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
    if ((size_t)width != self->width)
        return 0;
    return hw_digest_has(self->views[SORTED].buf, self->width, self->prefix_bits, self->views[PREFIXES].buf,
                         (const uint8_t *)digest);
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

static PyType_Spec digests_spec = {"hashsets.matching._native.Digests", sizeof(DigestsObject), 0, Py_TPFLAGS_DEFAULT,
                                   digests_slots};

/* ------------------------------------------------------------------ functions */

static PyObject *kernels(PyObject *module, PyObject *nothing)
{
    (void)module, (void)nothing;
    const hw_kernel *known[] = {hw_kernel_avx512(), hw_kernel_avx2(), hw_kernel_neon(), hw_kernel_portable()};
    PyObject *names = PyList_New(0);
    for (size_t i = 0; names && i < sizeof known / sizeof *known; i++) {
        PyObject *name = known[i] ? PyUnicode_FromString(known[i]->name) : NULL;
        if (known[i] && (!name || PyList_Append(names, name) < 0))
            Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

/* permute(kernel, words, source_bit, values, count, rows) */
static PyObject *permute(PyObject *module, PyObject *args)
{
    (void)module;
    const char *name;
    int words;
    unsigned long long count;
    PyObject *objects[3];
    Py_buffer views[3] = {{0}, {0}, {0}};
    if (!PyArg_ParseTuple(args, "ziOOKO", &name, &words, &objects[0], &objects[1], &count, &objects[2]))
        return NULL;
    const hw_kernel *kernel = kernel_named(name);
    if (!kernel)
        return NULL;
    if (words < 1 || words > HW_MAX_WORDS) {
        PyErr_SetString(PyExc_ValueError, "values of that width have no rows");
        return NULL;
    }
    size_t bytes = (size_t)count * 8 * (size_t)words;
    int ok = take(objects[0], &views[0], PyBUF_SIMPLE, 64 * (size_t)words) == 0 &&
             take(objects[1], &views[1], PyBUF_SIMPLE, bytes) == 0 &&
             take(objects[2], &views[2], PyBUF_WRITABLE, bytes) == 0;
    ok = ok && bits_hold(views[0].buf, words);
    if (ok) {
        Py_BEGIN_ALLOW_THREADS
        kernel->permute(views[0].buf, words, views[1].buf, (size_t)count, views[2].buf);
        Py_END_ALLOW_THREADS
    }
    give_back(views, 3);
    if (!ok)
        return NULL;
    Py_RETURN_NONE;
}

/* build_table(words, n, chunk, rows, scratch, offsets, next, next2 or None, row) */
static PyObject *build_table(PyObject *module, PyObject *args)
{
    (void)module;
    int words, chunk;
    unsigned long long n;
    PyObject *o[6];
    Py_buffer v[6] = {{0}, {0}, {0}, {0}, {0}, {0}};
    if (!PyArg_ParseTuple(args, "iKiOOOOOO", &words, &n, &chunk, &o[0], &o[1], &o[2], &o[3], &o[4], &o[5]))
        return NULL;
    if (words < 1 || words > HW_MAX_WORDS || n > 0xffffffffULL || chunk < 0 || chunk >= 4 * words) {
        PyErr_SetString(PyExc_ValueError, "a table of that shape cannot be");
        return NULL;
    }
    size_t rows = (size_t)n;
    int ok = take(o[0], &v[0], PyBUF_SIMPLE, rows * 8 * (size_t)words) == 0 &&
             take(o[1], &v[1], PyBUF_WRITABLE, rows * (o[4] == Py_None ? 16 : 8)) == 0 && take(o[2], &v[2], PyBUF_WRITABLE, HW_OFFSETS * 4) == 0 &&
             take(o[3], &v[3], PyBUF_WRITABLE, rows * 2) == 0 &&
             (o[4] == Py_None || take(o[4], &v[4], PyBUF_WRITABLE, rows * 2) == 0) &&
             take(o[5], &v[5], PyBUF_WRITABLE, rows * 4) == 0;
    if (ok) {
        Py_BEGIN_ALLOW_THREADS
        hw_build_table(v[0].buf, rows, words, chunk, v[1].buf, v[2].buf, v[3].buf, v[4].buf, v[5].buf);
        Py_END_ALLOW_THREADS
    }
    give_back(v, 6);
    if (!ok)
        return NULL;
    Py_RETURN_NONE;
}

/* build_planes(words, n, planes, rows, plane) */
static PyObject *build_planes(PyObject *module, PyObject *args)
{
    (void)module;
    int words, planes;
    unsigned long long n;
    PyObject *o[2];
    Py_buffer v[2] = {{0}, {0}};
    if (!PyArg_ParseTuple(args, "iKiOO", &words, &n, &planes, &o[0], &o[1]))
        return NULL;
    if (words < 1 || words > HW_MAX_WORDS || planes < 1 || planes > HW_MAX_PLANES || planes > 2 * words) {
        PyErr_SetString(PyExc_ValueError, "planes of that shape cannot be");
        return NULL;
    }
    size_t groups = ((size_t)n + HW_GROUP - 1) / HW_GROUP;
    int ok = take(o[0], &v[0], PyBUF_SIMPLE, (size_t)n * 8 * (size_t)words) == 0 &&
             take(o[1], &v[1], PyBUF_WRITABLE, groups * HW_GROUP * 4 * (size_t)planes) == 0;
    if (ok) {
        Py_BEGIN_ALLOW_THREADS
        hw_build_planes(v[0].buf, (size_t)n, words, planes, v[1].buf);
        Py_END_ALLOW_THREADS
    }
    give_back(v, 2);
    if (!ok)
        return NULL;
    Py_RETURN_NONE;
}

/* build_digests(n, width, prefix_bits, values, sorted, row, prefixes) */
static PyObject *build_digests(PyObject *module, PyObject *args)
{
    (void)module;
    unsigned long long n, width;
    int prefix_bits, status = 0;
    PyObject *o[4];
    Py_buffer v[4] = {{0}, {0}, {0}, {0}};
    if (!PyArg_ParseTuple(args, "KKiOOOO", &n, &width, &prefix_bits, &o[0], &o[1], &o[2], &o[3]))
        return NULL;
    if (n > 0xffffffffULL || width < 8 || width > 64 || prefix_bits < 0 || prefix_bits > 30) {
        PyErr_SetString(PyExc_ValueError, "digests of that shape cannot be");
        return NULL;
    }
    size_t bytes = (size_t)n * (size_t)width;
    int ok = take(o[0], &v[0], PyBUF_SIMPLE, bytes) == 0 && take(o[1], &v[1], PyBUF_WRITABLE, bytes) == 0 &&
             take(o[2], &v[2], PyBUF_WRITABLE, (size_t)n * 4) == 0 &&
             take(o[3], &v[3], PyBUF_WRITABLE, (((size_t)1 << prefix_bits) + 1) * 4) == 0;
    if (ok) {
        Py_BEGIN_ALLOW_THREADS
        status = hw_digest_sort(v[0].buf, (size_t)n, (size_t)width, v[1].buf, v[2].buf);
        if (status == 0)
            hw_digest_prefixes(v[1].buf, (size_t)n, (size_t)width, prefix_bits, v[3].buf);
        Py_END_ALLOW_THREADS
    }
    give_back(v, 4);
    if (status < 0)
        return PyErr_NoMemory();
    if (!ok)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"kernels", kernels, METH_NOARGS, "The kernels this machine can run, fastest first."},
    {"permute", permute, METH_VARARGS, "permute(kernel, words, source_bit, values, count, rows)"},
    {"build_table", build_table, METH_VARARGS, "build_table(words, n, chunk, rows, scratch, offsets, next, next2, row)"},
    {"build_planes", build_planes, METH_VARARGS, "build_planes(words, n, planes, rows, plane)"},
    {"build_digests", build_digests, METH_VARARGS, "build_digests(n, width, prefix_bits, values, sorted, row, prefixes)"},
    {NULL, NULL, 0, NULL}};

static int fill_module(PyObject *module)
{
    hw_core_init();
    PyObject *index = PyType_FromSpec(&index_spec), *digests = PyType_FromSpec(&digests_spec);
    int status = index && digests && PyModule_AddObjectRef(module, "Index", index) == 0 &&
                         PyModule_AddObjectRef(module, "Digests", digests) == 0 &&
                         PyModule_AddIntConstant(module, "OFFSETS_STRIDE", HW_OFFSETS) == 0 &&
                         PyModule_AddIntConstant(module, "QUERY_LIMIT", (long)HW_QUERY_LIMIT) == 0 &&
                         PyModule_AddIntConstant(module, "REVISION", 1) == 0
                     ? 0
                     : -1;
    Py_XDECREF(index);
    Py_XDECREF(digests);
    return status;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, fill_module}, {0, NULL}};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, "_native", "The matching kernels in C.", 0, functions, module_slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&module_definition);
}
