/* python_digests.c: the type Digests, for module.c to add. */
#ifndef HASHWARD_PYTHON_DIGESTS_H
#define HASHWARD_PYTHON_DIGESTS_H

#include <Python.h>

int add_digests(PyObject *module);

#endif
