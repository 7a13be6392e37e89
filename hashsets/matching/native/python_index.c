/* Index: rows searched by Hamming distance, over buffers that NumPy or a memory map owns.
 *
 * Shapes and sizes are checked here, so that no argument can make a kernel read outside its buffers.
 */
#include "buffers.h"

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
    if (tables > (size_t)index->chunks || hw_take(arrays[OFFSETS], &self->views[OFFSETS], PyBUF_SIMPLE, tables * HW_OFFSETS * 4) < 0 ||
        hw_take(arrays[NEXT], &self->views[NEXT], PyBUF_SIMPLE, tables * n * 2 + HW_PAD_BYTES) < 0 ||
        hw_take(arrays[ROW], &self->views[ROW], PyBUF_SIMPLE, tables * n * 4) < 0)
        return -1;
    if (arrays[NEXT2] != Py_None &&
        hw_take(arrays[NEXT2], &self->views[NEXT2], PyBUF_SIMPLE, tables * n * 2 + HW_PAD_BYTES) < 0)
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
    self->kernel = hw_kernel_named(kernel);
    if (!self->kernel)
        goto done;
    if (n > 0xffffffffULL || index->words < 1 || index->words > HW_MAX_WORDS || index->planes < 1 ||
        index->planes > HW_MAX_PLANES || index->planes > 2 * index->words || source.len != 64 * index->words) {
        PyErr_SetString(PyExc_ValueError, "an index of that shape cannot be");
        goto done;
    }
    memcpy(self->source_bit, source.buf, (size_t)source.len);
    if (!hw_bits_hold(self->source_bit, index->words))
        goto done;
    if (hw_take(arrays[ROWS], &self->views[ROWS], PyBUF_SIMPLE, index->n * 8 * (size_t)index->words) < 0)
        goto done;
    index->rows = self->views[ROWS].buf;
    if (chunks.len && index_tables(self, arrays, chunks.buf, (size_t)chunks.len) < 0)
        goto done;
    if (arrays[PLANES] != Py_None) {
        size_t groups = (index->n + HW_GROUP - 1) / HW_GROUP;
        if (hw_take(arrays[PLANES], &self->views[PLANES], PyBUF_SIMPLE, groups * HW_GROUP * 4 * (size_t)index->planes) < 0)
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
    hw_give_back(self->views, INDEX_VIEWS);
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

/* search(values, count, radius, strategy, dead, most) */
static PyObject *index_search(PyObject *object, PyObject *args)
{
    IndexObject *self = (IndexObject *)object;
    PyObject *values, *dead, *result = NULL;
    Py_buffer views[2] = {{0}, {0}};
    unsigned long long count, most = 0;
    int radius, strategy, status;
    if (!PyArg_ParseTuple(args, "OKiiO|K", &values, &count, &radius, &strategy, &dead, &most))
        return NULL;
    hw_index index = self->index;
    if (count > HW_QUERY_LIMIT || radius < 0 || radius > 64 * index.words) {
        PyErr_SetString(PyExc_ValueError, "too many queries at once, or a radius past the value's bits");
        return NULL;
    }
    if (hw_take(values, &views[0], PyBUF_SIMPLE, (size_t)count * 8 * (size_t)index.words) < 0 ||
        (dead != Py_None && hw_take(dead, &views[1], PyBUF_SIMPLE, (index.n + 7) / 8) < 0))
        goto done;
    index.dead = views[1].buf;
    hw_hits hits = {.most = (size_t)most};
    Py_BEGIN_ALLOW_THREADS
    status = run(self->kernel, &index, self->source_bit, strategy, radius, views[0].buf, (size_t)count, &hits);
    Py_END_ALLOW_THREADS
    if (status == -2)
        PyErr_SetString(PyExc_ValueError, "this index cannot be searched that way");
    else if (status < 0 && hits.most && hits.count == hits.most)
        PyErr_SetString(PyExc_OverflowError, "more hits than asked for");
    else if (status < 0)
        PyErr_NoMemory();
    else
        result = hw_hits_as_bytes(&hits);
    free(hits.key);
done:
    hw_give_back(views, 2);
    return result;
}

static PyMethodDef index_methods[] = {
    {"search", index_search, METH_VARARGS, "search(values, count, radius, strategy, dead, most=0) -> three bytearrays, or None"},
    {NULL, NULL, 0, NULL}};

static PyType_Slot index_slots[] = {{Py_tp_new, index_new},
                                    {Py_tp_dealloc, index_free},
                                    {Py_tp_methods, index_methods},
                                    {Py_tp_doc, "Rows searched by Hamming distance; holds the buffers it was given."},
                                    {0, NULL}};

PyType_Spec hw_index_spec = {"hashsets.matching._native.Index", sizeof(IndexObject), 0, Py_TPFLAGS_DEFAULT, index_slots};
