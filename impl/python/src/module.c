/* module.c - the extension module exactsgd._core. */
#include "core.h"

static int fill_module(PyObject *module)
{
    core_unsupported = PyErr_NewExceptionWithDoc(
        "exactsgd.Unsupported", "The library does not take these tensors or options; nothing has changed.", PyExc_ValueError,
        NULL);
    PyObject *engine = PyType_FromSpec(&core_engine_spec), *contract = PyType_FromSpec(&core_contract_spec);
    int failed = !core_unsupported || !engine || !contract || PyModule_AddObjectRef(module, "Unsupported", core_unsupported) ||
                 PyModule_AddObjectRef(module, "Engine", engine) || PyModule_AddObjectRef(module, "Optimizer", contract) ||
                 PyModule_AddStringConstant(module, "version", SGD_VERSION);
    Py_XDECREF(engine);
    Py_XDECREF(contract);
    return failed ? -1 : 0;
}

static PyMethodDef functions[] = {
    {"refuse", core_refuse, METH_VARARGS, "Raises what PyTorch raises for a mistake; see _core.pyi."},
    {"set_global_hooks", core_set_global_hooks, METH_VARARGS, "What runs before and after every contract step."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "exactsgd._core",
                                        .m_doc = "libsgd for Python objects.", .m_size = -1, .m_methods = functions};

PyMODINIT_FUNC PyInit__core(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module && fill_module(module))
        Py_CLEAR(module);
    return module;
}
