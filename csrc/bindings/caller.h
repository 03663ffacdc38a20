// A session's entry as a callable for the common case: exact ndarrays of the right dtype and shape, C-contiguous. A call
// costs a fraction of a microsecond, which is what the smallest networks leave room for; pybind11's own arguments and
// arrays take several times that. Whatever is unusual is left to the caller, with None: it has the errors.
// For core.cpp, which includes it behind Session.

// A tensor of the entry, where it lies.
struct Place {
    py::object dtype; // ndarrays of number types share one descriptor object
    std::vector<py::ssize_t> shape;
    uint8_t *data;
    size_t bytes;
};

struct Caller {
    py::object owner; // keeps session alive
    Session *session;
    uint32_t entry;
    std::vector<Place> inputs, outputs;
};

bool fits(PyObject *x, const Place &place)
{
    if (reinterpret_cast<PyObject *>(Py_TYPE(x)) !=
        reinterpret_cast<PyObject *>(py::detail::npy_api::get().PyArray_Type_))
        return false;
    const auto *a = py::detail::array_proxy(x);
    return a->descr == place.dtype.ptr() && (a->flags & py::array::c_style) &&
           static_cast<size_t>(a->nd) == place.shape.size() &&
           std::equal(place.shape.begin(), place.shape.end(), a->dimensions);
}

// A new array with the bytes of a place; NULL with an exception set.
PyObject *copy_of(const Place &place)
{
    auto &api = py::detail::npy_api::get();
    PyObject *y = api.PyArray_NewFromDescr_(
        api.PyArray_Type_, py::object(place.dtype).release().ptr(), static_cast<int>(place.shape.size()),
        const_cast<Py_intptr_t *>(place.shape.data()), nullptr, nullptr, 0, nullptr);
    if (y)
        std::memcpy(py::detail::array_proxy(y)->data, place.data, place.bytes);
    return y;
}

PyObject *outputs_of(const Caller &c)
{
    if (c.outputs.size() == 1)
        return copy_of(c.outputs[0]);
    PyObject *list = PyList_New(static_cast<py::ssize_t>(c.outputs.size()));
    for (size_t i = 0; list && i < c.outputs.size(); i++) {
        PyObject *y = copy_of(c.outputs[i]);
        if (!y)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, static_cast<py::ssize_t>(i), y);
    }
    return list;
}

// call(arrays: tuple) -> array, list of arrays, or None
PyObject *call(PyObject *self, PyObject *arrays)
{
    const auto &c = *static_cast<Caller *>(PyCapsule_GetPointer(self, nullptr));
    if (!PyTuple_CheckExact(arrays) || static_cast<size_t>(PyTuple_GET_SIZE(arrays)) != c.inputs.size())
        Py_RETURN_NONE;
    for (size_t i = 0; i < c.inputs.size(); i++) {
        if (!fits(PyTuple_GET_ITEM(arrays, static_cast<py::ssize_t>(i)), c.inputs[i]))
            Py_RETURN_NONE;
    }
    if (!c.session->acquire())
        Py_RETURN_NONE;
    for (size_t i = 0; i < c.inputs.size(); i++) {
        PyObject *x = PyTuple_GET_ITEM(arrays, static_cast<py::ssize_t>(i));
        std::memcpy(c.inputs[i].data, py::detail::array_proxy(x)->data, c.inputs[i].bytes);
    }
    PyThreadState *thread = PyEval_SaveThread();
    const bool ran = c.session->execute(c.entry);
    PyEval_RestoreThread(thread);
    PyObject *y = ran ? outputs_of(c) : Py_NewRef(Py_None);
    c.session->release();
    return y;
}

PyMethodDef call_definition = {"call", call, METH_O, nullptr};

std::vector<Place> places_of(Session &session,
                             const std::vector<std::tuple<uint32_t, py::dtype, std::vector<py::ssize_t>>> &tensors)
{
    std::vector<Place> places;
    for (const auto &[number, dtype, shape] : tensors) {
        auto [data, bytes] = session.bytes_of(number);
        py::ssize_t elements = dtype.itemsize();
        for (py::ssize_t n : shape)
            elements *= n;
        if (static_cast<size_t>(elements) != bytes)
            throw py::value_error("a tensor of another size");
        places.push_back({dtype, shape, data, bytes});
    }
    return places;
}

py::object caller(const py::object &self, uint32_t entry,
                  const std::vector<std::tuple<uint32_t, py::dtype, std::vector<py::ssize_t>>> &inputs,
                  const std::vector<std::tuple<uint32_t, py::dtype, std::vector<py::ssize_t>>> &outputs)
{
    auto &session = self.cast<Session &>();
    py::capsule state(new Caller{self, &session, entry, places_of(session, inputs), places_of(session, outputs)},
                      [](void *c) { delete static_cast<Caller *>(c); });
    return py::reinterpret_steal<py::object>(PyCFunction_NewEx(&call_definition, state.ptr(), nullptr));
}
