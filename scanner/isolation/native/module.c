/* scanner.isolation._native: the move of a process's memory into a file. Limited API of Python 3.11: one binary for all
 * later.
 *
 * From the first page copied to the last mapping made, nothing but the stack may change: what is written in between would
 * be lost. So the loop calls no Python and allocates nothing, and the stack is not among the mappings.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* A mapping: addresses, protection as mmap has it, and where in the file its bytes go. */
typedef struct {
    int64_t start, end, protection, offset;
} mapping;

static int is_blank(const char *page, int64_t size)
{
    const uint64_t *words = (const uint64_t *)page;
    for (int64_t at = 0; at < size / 8; at++)
        if (words[at])
            return 0;
    return 1;
}

/* Whether all of it is still mapped: what was listed a moment ago may have been given back since. */
static int is_there(const mapping *one)
{
    return msync((void *)one->start, (size_t)(one->end - one->start), MS_ASYNC) == 0;
}

/* Blank pages are left out: the file has holes there, which read the same. */
static int copied(const mapping *one, int fd, int64_t page_size)
{
    for (int64_t at = one->start; at < one->end; at += page_size)
        if (!is_blank((const char *)at, page_size) &&
            pwrite(fd, (const char *)at, (size_t)page_size, one->offset + at - one->start) != page_size)
            return 0;
    return 1;
}

static int moved(const mapping *one, int fd, int64_t page_size)
{
    return is_there(one) && copied(one, fd, page_size) &&
           mmap((void *)one->start, (size_t)(one->end - one->start), (int)one->protection, MAP_PRIVATE | MAP_FIXED, fd,
                one->offset) != MAP_FAILED;
}

/* move(mappings, fd, page_size): how many of the mappings are the file's now; the others are as they were */
static PyObject *move(PyObject *module, PyObject *args)
{
    (void)module;
    Py_buffer mappings;
    int fd;
    long long page_size;
    if (!PyArg_ParseTuple(args, "y*iL", &mappings, &fd, &page_size))
        return NULL;
    const mapping *all = mappings.buf;
    Py_ssize_t done = 0, count = mappings.len / (Py_ssize_t)sizeof *all;
    for (Py_ssize_t at = 0; at < count; at++) {
        mapping one = all[at];
        if (moved(&one, fd, page_size))
            done++;
    }
    PyBuffer_Release(&mappings);
    return PyLong_FromSsize_t(done);
}

static PyMethodDef functions[] = {
    {"move", move, METH_VARARGS, "move(mappings, fd, page_size): how many mappings are the file's now."},
    {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot module_slots[] = {{0, NULL}};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, "_native", "Memory as a file.", 0, functions, module_slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&module_definition);
}
