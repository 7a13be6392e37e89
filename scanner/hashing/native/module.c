/* scanner.hashing._native: the operator and the hash for Python. Limited API of Python 3.11: one binary for all later.
 *
 * Shapes and strides of what is fed are checked here. The GIL is released while pixels are summed and hashes made.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include "operator.h"
#include "python_digests.h"

typedef struct {
    PyObject_HEAD
    hw_pass *pass;
    int busy; /* the GIL is released while pixels are summed: another thread is to keep off */
} Pass;

static const hw_kernel *kernel_named(const char *name)
{
    const hw_kernel *known[] = {hw_kernel_avx512(), hw_kernel_avx2(), hw_kernel_neon(), hw_kernel_portable()};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i] && (!name || strcmp(known[i]->name, name) == 0))
            return known[i];
    PyErr_SetString(PyExc_ValueError, "no such kernel on this machine");
    return NULL;
}

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

/* A window meets the picture and is at most as far beyond it as the picture is long. */
static int lies(int64_t first, int64_t length, int64_t total)
{
    return length >= 1 && length <= 2 * total && first > -length && first < total;
}

static int is_sound(const hw_asked *asked, long long height, long long width)
{
    return asked->turn >= 1 && asked->turn <= 8 && lies(asked->top, asked->height, height) &&
           lies(asked->left, asked->width, width);
}

/* Readings as a tuple of (turn, top, left, height, width). */
static int take_readings(PyObject *readings, hw_asked *asked, long long height, long long width)
{
    Py_ssize_t count = PyTuple_Size(readings);
    if (count < 1 || count > HW_MOST_READINGS) {
        PyErr_SetString(PyExc_ValueError, "so many readings cannot be asked for at once");
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        long long top, left, tall, wide;
        if (!PyArg_ParseTuple(PyTuple_GetItem(readings, i), "iLLLL", &asked[i].turn, &top, &left, &tall, &wide))
            return -1;
        asked[i].top = top, asked[i].left = left, asked[i].height = tall, asked[i].width = wide;
        if (!is_sound(&asked[i], height, width)) {
            PyErr_SetString(PyExc_ValueError, "a reading lies outside the picture");
            return -1;
        }
    }
    return (int)count;
}

/* Pass(kernel or None, height, width, scale, readings) */
static PyObject *pass_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    (void)keywords;
    const char *name;
    long long height, width;
    int scale;
    PyObject *readings;
    hw_asked asked[HW_MOST_READINGS];
    if (!PyArg_ParseTuple(args, "zLLiO!", &name, &height, &width, &scale, &PyTuple_Type, &readings))
        return NULL;
    const hw_kernel *kernel = kernel_named(name);
    if (!kernel)
        return NULL;
    if (height < 1 || width < 1 || height > HW_MOST_SAMPLES || width > HW_MOST_SAMPLES || scale < 1 || scale > 64) {
        PyErr_SetString(PyExc_ValueError, "a picture of that size cannot be");
        return NULL;
    }
    int count = take_readings(readings, asked, height, width);
    if (count < 0)
        return NULL;
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Pass *self = (Pass *)make(type, 0);
    if (!self)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    self->pass = hw_pass_new(kernel, height, width, scale, asked, count);
    Py_END_ALLOW_THREADS
    if (self->pass)
        return (PyObject *)self;
    Py_DECREF(self);
    return PyErr_NoMemory();
}

static void pass_dealloc(PyObject *object)
{
    Pass *self = (Pass *)object;
    if (self->pass)
        hw_pass_free(self->pass);
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

/* Where the channels of a pixel lie: its first byte in memory, the step to the next pixel, the luma weight of each byte. */
typedef struct {
    Py_ssize_t step, lead;
    uint32_t luma[3];
} Format;

static int format_of(const Py_buffer *view, PyObject *luma, Format *format)
{
    memset(format, 0, sizeof *format);
    format->step = 1;
    if (view->ndim == 2)
        return view->strides[1] == 1 || view->shape[1] == 1 ? 0 : -1;
    format->step = view->strides[1];
    Py_ssize_t apart = view->strides[2];
    if (view->ndim != 3 || view->shape[2] != 3 || (format->step != 3 && format->step != 4) || (apart != 1 && apart != -1))
        return -1;
    unsigned weight[3];
    if (!PyArg_ParseTuple(luma, "III", &weight[0], &weight[1], &weight[2]))
        return -1;
    if ((uint64_t)weight[0] + weight[1] + weight[2] > 1u << HW_LUMA_BITS)
        return -1;
    for (int i = 0; i < 3; i++)
        format->luma[i] = weight[apart > 0 ? i : 2 - i];
    format->lead = apart > 0 ? 0 : -2;
    return 0;
}

static int fits(const Pass *self, const Py_buffer *view, const Format *format)
{
    const hw_pass *pass = self->pass;
    if (view->itemsize != 1 || (size_t)view->shape[1] != pass->width || (size_t)view->shape[0] > pass->height - pass->seen)
        return 0;
    if (format->step == 4 && view->strides[0] < 0)
        return 0; /* the row that ends the memory would not be the last one: see closed_row */
    return pass->seen == 0 || pass->step == (int)format->step;
}

/* The last pixel of a row of four-byte pixels may lie at the end of the array: its fourth byte is then not ours. */
static const uint8_t *closed_row(hw_pass *pass, const Py_buffer *view, const Format *format, uint8_t **copy)
{
    if (format->step != 4)
        return NULL;
    *copy = calloc(pass->width, 4);
    if (!*copy)
        return NULL;
    const uint8_t *row = (const uint8_t *)view->buf + (view->shape[0] - 1) * view->strides[0] + format->lead;
    memcpy(*copy, row, 4 * pass->width - 1);
    return *copy;
}

static int feed_view(Pass *self, const Py_buffer *view, const Format *format)
{
    hw_pass *pass = self->pass;
    int status = 0;
    uint8_t *copy = NULL;
    size_t rows = (size_t)view->shape[0];
    const uint8_t *pixels = (const uint8_t *)view->buf + format->lead;
    self->busy = 1;
    Py_BEGIN_ALLOW_THREADS
    if (pass->step == 0)
        status = hw_pass_begin(pass, (int)format->step, format->luma);
    if (status == 0 && rows && format->step == 4)
        status = closed_row(pass, view, format, &copy) ? 0 : -1;
    if (status == 0) {
        hw_pass_feed(pass, pixels, view->strides[0], rows - (copy ? 1 : 0));
        if (copy)
            hw_pass_feed(pass, copy, 0, 1);
    }
    free(copy);
    Py_END_ALLOW_THREADS
    self->busy = 0;
    return status;
}

/* feed(pixels, luma): the next rows, (rows, width) or (rows, width, 3) uint8; `luma` weighs the three channels. */
static PyObject *pass_feed(PyObject *object, PyObject *args)
{
    Pass *self = (Pass *)object;
    PyObject *pixels, *luma;
    Py_buffer view;
    Format format;
    if (!PyArg_ParseTuple(args, "OO!", &pixels, &PyTuple_Type, &luma) ||
        PyObject_GetBuffer(pixels, &view, PyBUF_STRIDES) < 0)
        return NULL;
    int status = -2;
    if (!self->busy && view.ndim >= 2 && format_of(&view, luma, &format) == 0 && fits(self, &view, &format))
        status = feed_view(self, &view, &format);
    PyBuffer_Release(&view);
    if (status == 0)
        Py_RETURN_NONE;
    if (status == -1)
        return PyErr_NoMemory();
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "these are not the next rows of this picture");
    return NULL;
}

static int is_whole(const Pass *self)
{
    if (!self->busy && self->pass->seen == self->pass->height && self->pass->step)
        return 1;
    PyErr_SetString(PyExc_ValueError, "not all rows of the picture were fed");
    return 0;
}

/* grids(): each reading's grid as 64 x 64 int32, in whole numbers of 2**-15. */
static PyObject *pass_grids(PyObject *object, PyObject *nothing)
{
    (void)nothing;
    Pass *self = (Pass *)object;
    if (!is_whole(self))
        return NULL;
    PyObject *made = PyList_New(0);
    for (int i = 0; made && i < self->pass->readings; i++) {
        int32_t grid[HW_SIDE][HW_SIDE];
        hw_pass_grid(self->pass, i, grid);
        PyObject *one = PyBytes_FromStringAndSize((const char *)grid, sizeof grid);
        if (!one || PyList_Append(made, one) < 0)
            Py_CLEAR(made);
        Py_XDECREF(one);
    }
    return made;
}

/* hashes(limited): (value, quality) of each reading. */
static PyObject *pass_hashes(PyObject *object, PyObject *args)
{
    Pass *self = (Pass *)object;
    int limited;
    if (!PyArg_ParseTuple(args, "p", &limited) || !is_whole(self))
        return NULL;
    PyObject *made = PyList_New(0);
    for (int i = 0; made && i < self->pass->readings; i++) {
        int32_t grid[HW_SIDE][HW_SIDE];
        uint8_t value[HW_VALUE_BYTES];
        int quality;
        Py_BEGIN_ALLOW_THREADS
        hw_pass_grid(self->pass, i, grid);
        if (limited)
            hw_full_range(grid);
        quality = hw_hash((const int32_t (*)[HW_SIDE])grid, value);
        Py_END_ALLOW_THREADS
        PyObject *one = Py_BuildValue("y#i", value, (Py_ssize_t)HW_VALUE_BYTES, quality);
        if (!one || PyList_Append(made, one) < 0)
            Py_CLEAR(made);
        Py_XDECREF(one);
    }
    return made;
}

/* axis(total, first, length, reverse, scale): start, stop of each band and its weights, for the comparison with NumPy. */
static PyObject *axis(PyObject *module, PyObject *args)
{
    (void)module;
    long long total, first, length;
    int reverse, scale;
    if (!PyArg_ParseTuple(args, "LLLpi", &total, &first, &length, &reverse, &scale))
        return NULL;
    if (total < 1 || total > HW_MOST_SAMPLES || !lies(first, length, total) || scale < 1 || scale > 64) {
        PyErr_SetString(PyExc_ValueError, "an axis of that size cannot be");
        return NULL;
    }
    hw_axis made;
    hw_span span = {total, first, length, reverse};
    if (hw_axis_make(&made, &span, scale) < 0) {
        hw_axis_free(&made);
        return PyErr_NoMemory();
    }
    size_t weights = (size_t)(made.at[HW_SIDE - 1] + made.stop[HW_SIDE - 1] - made.start[HW_SIDE - 1]);
    PyObject *result = Py_BuildValue("y#y#y#", made.start, (Py_ssize_t)sizeof made.start, made.stop,
                                     (Py_ssize_t)sizeof made.stop, made.weight, (Py_ssize_t)(weights * sizeof *made.weight));
    hw_axis_free(&made);
    return result;
}

static PyMethodDef pass_methods[] = {
    {"feed", pass_feed, METH_VARARGS, "feed(pixels, luma): the next rows, 8-bit grey or three channels."},
    {"grids", pass_grids, METH_NOARGS, "Each reading's grid as 64 x 64 int32."},
    {"hashes", pass_hashes, METH_VARARGS, "hashes(limited): (value, quality) of each reading."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot pass_slots[] = {
    {Py_tp_new, pass_new}, {Py_tp_dealloc, pass_dealloc}, {Py_tp_methods, pass_methods}, {0, NULL}};

static PyType_Spec pass_spec = {"scanner.hashing._native.Pass", sizeof(Pass), 0, Py_TPFLAGS_DEFAULT, pass_slots};

static PyMethodDef functions[] = {
    {"kernels", kernels, METH_NOARGS, "The kernels this machine can run, fastest first."},
    {"axis", axis, METH_VARARGS, "axis(total, first, length, reverse, scale)"},
    {NULL, NULL, 0, NULL}};

static int fill_module(PyObject *module)
{
    PyObject *pass = PyType_FromSpec(&pass_spec);
    int status = pass ? PyModule_AddObjectRef(module, "Pass", pass) : -1;
    Py_XDECREF(pass);
    return status ? status : add_digests(module);
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, fill_module}, {0, NULL}};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, "_native", "PDQ's operator in C.", 0, functions, module_slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&module_definition);
}
