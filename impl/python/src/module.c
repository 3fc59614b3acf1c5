/* module.c - the extension module exactsgd._core. */
#include "core.h"

static int fill_module(PyObject *module)
{
    core_unsupported = PyErr_NewExceptionWithDoc(
        "exactsgd.Unsupported", "The library does not take these tensors or options; nothing has changed.", PyExc_ValueError,
        NULL);
    PyObject *engine = PyType_FromSpec(&core_engine_spec);
    int failed = !core_unsupported || !engine || PyModule_AddObjectRef(module, "Unsupported", core_unsupported) ||
                 PyModule_AddObjectRef(module, "Engine", engine) || PyModule_AddStringConstant(module, "version", SGD_VERSION);
    Py_XDECREF(engine);
    return failed ? -1 : 0;
}

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "exactsgd._core", .m_doc = "libsgd for Python objects.", .m_size = -1};

PyMODINIT_FUNC PyInit__core(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module && fill_module(module))
        Py_CLEAR(module);
    return module;
}
