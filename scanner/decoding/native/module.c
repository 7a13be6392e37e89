/* scanner.decoding._native: the luma of plain JPEGs for Python. Limited API of Python 3.11: one binary for all later.
 *
 * The room for the picture is checked here. The GIL is released while the file is read.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <string.h>

#include "jpeg.h"

/* The tables made last, while nobody is at them. Guarded by the GIL. */
static hw_tables *spare;

static hw_tables *take_tables(void)
{
    hw_tables *taken = spare;
    spare = NULL;
    return taken ? taken : calloc(1, sizeof *taken);
}

static void give_back(hw_tables *tables)
{
    if (spare)
        free(tables);
    else
        spare = tables;
}

/* luma(encoded, height, width, scale): (plane, stride), or None for what is not a plain, intact file of that size */
static PyObject *luma(PyObject *module, PyObject *args)
{
    (void)module;
    Py_buffer encoded;
    int height, width, scale;
    if (!PyArg_ParseTuple(args, "y*iii", &encoded, &height, &width, &scale))
        return NULL;
    PyObject *plane = NULL;
    hw_tables *tables = NULL;
    hw_jpeg jpeg;
    hw_decoder *decode = hw_decoder_here();
    int status = HW_REFUSED;
    if (!decode || (scale != 1 && scale != 2 && scale != 4 && scale != 8)) {
        PyErr_SetString(PyExc_ValueError, "this machine cannot do that, or there is no such scale");
        goto done;
    }
    status = hw_jpeg_open(&jpeg, encoded.buf, (size_t)encoded.len);
    if (status != HW_DECODED || jpeg.height != height || jpeg.width != width)
        goto done;
    size_t side = (size_t)(8 / scale);
    size_t stride = (size_t)jpeg.mcus_across * (size_t)jpeg.component[0].across * side;
    size_t rows = (size_t)jpeg.mcus_down * (size_t)jpeg.component[0].down * side;
    plane = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)(stride * rows));
    if (!plane)
        goto done;
    tables = take_tables();
    uint8_t *to = (uint8_t *)PyByteArray_AsString(plane);
    Py_BEGIN_ALLOW_THREADS
    status = jpeg.progressive ? HW_DECODED : tables ? hw_tables_make(tables, &jpeg) : HW_NO_MEMORY;
    if (status == HW_DECODED && jpeg.progressive)
        status = hw_decode_progressive(&jpeg, scale, to, stride);
    else if (status == HW_DECODED)
        status = decode(&jpeg, tables, scale, to, stride);
    Py_END_ALLOW_THREADS
    give_back(tables);
    if (status != HW_DECODED)
        Py_CLEAR(plane);
    if (status == HW_NO_MEMORY)
        PyErr_NoMemory();
done:
    PyBuffer_Release(&encoded);
    if (PyErr_Occurred())
        return NULL;
    return plane ? Py_BuildValue("Nn", plane, (Py_ssize_t)stride) : Py_NewRef(Py_None);
}

/* first_marker(block): where in entropy-coded bytes the first marker is that does not belong there (T.81, B.1.1.2), or -1 */
static PyObject *first_marker(PyObject *module, PyObject *block)
{
    (void)module;
    Py_buffer held;
    if (PyObject_GetBuffer(block, &held, PyBUF_SIMPLE) < 0)
        return NULL;
    const uint8_t *start = held.buf, *at = start, *last = held.len > 0 ? start + held.len - 1 : start;
    Py_ssize_t found = -1;
    while (at < last && (at = memchr(at, 0xFF, (size_t)(last - at))) != NULL) {
        uint8_t next = at[1];
        if (next != 0 && next != 0xFF && !(next >= 0xD0 && next <= 0xD7)) {
            found = at - start;
            break;
        }
        at++;
    }
    PyBuffer_Release(&held);
    return PyLong_FromSsize_t(found);
}

static PyObject *is_usable(PyObject *module, PyObject *nothing)
{
    (void)module, (void)nothing;
    return PyBool_FromLong(hw_decoder_here() != NULL);
}

static PyMethodDef functions[] = {
    {"is_usable", is_usable, METH_NOARGS, "Whether this machine has the instructions."},
    {"first_marker", first_marker, METH_O, "first_marker(block): its offset, or -1."},
    {"luma", luma, METH_VARARGS, "luma(encoded, height, width, scale): (plane, stride), or None."},
    {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot module_slots[] = {{0, NULL}};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, "_native", "The luma of plain JPEGs.", 0, functions, module_slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&module_definition);
}
