/* hashsets.matching._native: the kernels and their builders for Python.
 *
 * Sizes are checked here and in the types, dtypes in the Python wrapper. The GIL is released while searching and building.
 */
#include "buffers.h"

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
    const hw_kernel *kernel = hw_kernel_named(name);
    if (!kernel)
        return NULL;
    if (words < 1 || words > HW_MAX_WORDS) {
        PyErr_SetString(PyExc_ValueError, "values of that width have no rows");
        return NULL;
    }
    size_t bytes = (size_t)count * 8 * (size_t)words;
    int ok = hw_take(objects[0], &views[0], PyBUF_SIMPLE, 64 * (size_t)words) == 0 &&
             hw_take(objects[1], &views[1], PyBUF_SIMPLE, bytes) == 0 &&
             hw_take(objects[2], &views[2], PyBUF_WRITABLE, bytes) == 0;
    ok = ok && hw_bits_hold(views[0].buf, words);
    if (ok) {
        Py_BEGIN_ALLOW_THREADS
        kernel->permute(views[0].buf, words, views[1].buf, (size_t)count, views[2].buf);
        Py_END_ALLOW_THREADS
    }
    hw_give_back(views, 3);
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
    int ok = hw_take(o[0], &v[0], PyBUF_SIMPLE, rows * 8 * (size_t)words) == 0 &&
             hw_take(o[1], &v[1], PyBUF_WRITABLE, rows * (o[4] == Py_None ? 16 : 8)) == 0 && hw_take(o[2], &v[2], PyBUF_WRITABLE, HW_OFFSETS * 4) == 0 &&
             hw_take(o[3], &v[3], PyBUF_WRITABLE, rows * 2) == 0 &&
             (o[4] == Py_None || hw_take(o[4], &v[4], PyBUF_WRITABLE, rows * 2) == 0) &&
             hw_take(o[5], &v[5], PyBUF_WRITABLE, rows * 4) == 0;
    if (ok) {
        Py_BEGIN_ALLOW_THREADS
        hw_build_table(v[0].buf, rows, words, chunk, v[1].buf, v[2].buf, v[3].buf, v[4].buf, v[5].buf);
        Py_END_ALLOW_THREADS
    }
    hw_give_back(v, 6);
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
    int ok = hw_take(o[0], &v[0], PyBUF_SIMPLE, (size_t)n * 8 * (size_t)words) == 0 &&
             hw_take(o[1], &v[1], PyBUF_WRITABLE, groups * HW_GROUP * 4 * (size_t)planes) == 0;
    if (ok) {
        Py_BEGIN_ALLOW_THREADS
        hw_build_planes(v[0].buf, (size_t)n, words, planes, v[1].buf);
        Py_END_ALLOW_THREADS
    }
    hw_give_back(v, 2);
    if (!ok)
        return NULL;
    Py_RETURN_NONE;
}

/* build_digests(n, width, prefix_bits, values, heads, tails, row, prefixes) */
static PyObject *build_digests(PyObject *module, PyObject *args)
{
    (void)module;
    unsigned long long n, width;
    int prefix_bits, status = 0;
    PyObject *o[5];
    Py_buffer v[5] = {{0}, {0}, {0}, {0}, {0}};
    if (!PyArg_ParseTuple(args, "KKiOOOOO", &n, &width, &prefix_bits, &o[0], &o[1], &o[2], &o[3], &o[4]))
        return NULL;
    if (n > 0xffffffffULL || width <= 8 || width > 64 || prefix_bits < 0 || prefix_bits > 30) {
        PyErr_SetString(PyExc_ValueError, "digests of that shape cannot be");
        return NULL;
    }
    size_t count = (size_t)n;
    int ok = hw_take(o[0], &v[0], PyBUF_SIMPLE, count * (size_t)width) == 0 &&
             hw_take(o[1], &v[1], PyBUF_WRITABLE, count * 8) == 0 &&
             hw_take(o[2], &v[2], PyBUF_WRITABLE, count * ((size_t)width - 8)) == 0 &&
             hw_take(o[3], &v[3], PyBUF_WRITABLE, count * 4) == 0 &&
             hw_take(o[4], &v[4], PyBUF_WRITABLE, (((size_t)1 << prefix_bits) + 1) * 4) == 0;
    if (ok) {
        Py_BEGIN_ALLOW_THREADS
        status = hw_digest_sort(v[0].buf, count, (size_t)width, v[1].buf, v[2].buf, v[3].buf);
        if (status == 0)
            hw_digest_prefixes(v[1].buf, count, prefix_bits, v[4].buf);
        Py_END_ALLOW_THREADS
    }
    hw_give_back(v, 5);
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
    {"build_digests", build_digests, METH_VARARGS, "build_digests(n, width, prefix_bits, values, heads, tails, row, prefixes)"},
    {NULL, NULL, 0, NULL}};

static int fill_module(PyObject *module)
{
    hw_core_init();
    PyObject *index = PyType_FromSpec(&hw_index_spec), *digests = PyType_FromSpec(&hw_digests_spec);
    int status = index && digests && PyModule_AddObjectRef(module, "Index", index) == 0 &&
                         PyModule_AddObjectRef(module, "Digests", digests) == 0 &&
                         PyModule_AddIntConstant(module, "OFFSETS_STRIDE", HW_OFFSETS) == 0 &&
                         PyModule_AddIntConstant(module, "QUERY_LIMIT", (long)HW_QUERY_LIMIT) == 0 &&
                         PyModule_AddIntConstant(module, "REVISION", 2) == 0
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
