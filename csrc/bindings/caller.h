// A session's entry as a callable for the common case: exact ndarrays of the right dtype and shape, C-contiguous. A call
// costs a fraction of a microsecond, which is what the smallest networks leave room for; pybind11's own arguments and
// arrays take several times that. Whatever is unusual is left to the caller, with None: it has the errors.
// For core.cpp, which includes it behind Session.

// A tensor of the entry, where it lies in the arena; if it binds, a run may have it in an array instead.
struct Place {
    uint32_t number;
    py::object dtype; // ndarrays of number types share one descriptor object
    std::vector<py::ssize_t> shape;
    bool binds;
    uint8_t *data;
    size_t bytes;
};

struct Caller {
    py::object owner; // keeps session alive
    Session *session;
    uint32_t entry;
    std::vector<Place> inputs, outputs;
    // Of a call, while it has claimed the session: room for all that bind, and for NULL behind them.
    std::vector<pe_binding> bound;
    std::vector<bool> written; // by output: it was bound
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

// A new array for a place; NULL with an exception set.
PyObject *array_for(const Place &place)
{
    auto &api = py::detail::npy_api::get();
    return api.PyArray_NewFromDescr_(api.PyArray_Type_, py::object(place.dtype).release().ptr(),
                                     static_cast<int>(place.shape.size()),
                                     const_cast<Py_intptr_t *>(place.shape.data()), nullptr, nullptr, 0, nullptr);
}

// An array, or a list of arrays, for the outputs.
PyObject *arrays_for_outputs(const Caller &c)
{
    if (c.outputs.size() == 1)
        return array_for(c.outputs[0]);
    PyObject *list = PyList_New(static_cast<py::ssize_t>(c.outputs.size()));
    for (size_t i = 0; list && i < c.outputs.size(); i++) {
        PyObject *y = array_for(c.outputs[i]);
        if (!y)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, static_cast<py::ssize_t>(i), y);
    }
    return list;
}

void *output_data(const Caller &c, PyObject *outputs, size_t i)
{
    PyObject *y = c.outputs.size() == 1 ? outputs : PyList_GET_ITEM(outputs, static_cast<py::ssize_t>(i));
    return py::detail::array_proxy(y)->data;
}

// Whether the next run has a place's tensor in an array.
bool bind(Caller &c, size_t &bound, const Place &place, void *array)
{
    if (!place.binds || !is_aligned(array, PE_ARENA_ALIGN))
        return false;
    c.bound[bound++] = {place.number, array};
    return true;
}

// call(arrays: tuple) -> array, list of arrays, or None
PyObject *call(PyObject *self, PyObject *arrays)
{
    auto &c = *static_cast<Caller *>(PyCapsule_GetPointer(self, nullptr));
    if (!PyTuple_CheckExact(arrays) || static_cast<size_t>(PyTuple_GET_SIZE(arrays)) != c.inputs.size())
        Py_RETURN_NONE;
    for (size_t i = 0; i < c.inputs.size(); i++) {
        if (!fits(PyTuple_GET_ITEM(arrays, static_cast<py::ssize_t>(i)), c.inputs[i]))
            Py_RETURN_NONE;
    }
    if (!c.session->acquire())
        Py_RETURN_NONE;
    PyObject *outputs = arrays_for_outputs(c);
    if (!outputs) {
        c.session->release();
        return nullptr;
    }
    size_t bound = 0;
    for (size_t i = 0; i < c.inputs.size(); i++) {
        PyObject *x = PyTuple_GET_ITEM(arrays, static_cast<py::ssize_t>(i));
        if (!bind(c, bound, c.inputs[i], py::detail::array_proxy(x)->data))
            std::memcpy(c.inputs[i].data, py::detail::array_proxy(x)->data, c.inputs[i].bytes);
    }
    for (size_t i = 0; i < c.outputs.size(); i++)
        c.written[i] = bind(c, bound, c.outputs[i], output_data(c, outputs, i));
    c.bound[bound] = {PE_NONE, nullptr};
    PyThreadState *thread = PyEval_SaveThread();
    const bool ran = c.session->execute(c.entry, bound ? c.bound.data() : nullptr);
    PyEval_RestoreThread(thread);
    for (size_t i = 0; ran && i < c.outputs.size(); i++) {
        if (!c.written[i])
            std::memcpy(output_data(c, outputs, i), c.outputs[i].data, c.outputs[i].bytes);
    }
    c.session->release();
    if (!ran) {
        Py_DECREF(outputs);
        Py_RETURN_NONE;
    }
    return outputs;
}

PyMethodDef call_definition = {"call", call, METH_O, nullptr};

typedef std::vector<std::tuple<uint32_t, py::dtype, std::vector<py::ssize_t>, bool>> Tensors;

std::vector<Place> places_of(Session &session, const Tensors &tensors)
{
    std::vector<Place> places;
    for (const auto &[number, dtype, shape, binds] : tensors) {
        auto [data, bytes] = session.bytes_of(number);
        py::ssize_t elements = dtype.itemsize();
        for (py::ssize_t n : shape)
            elements *= n;
        if (static_cast<size_t>(elements) != bytes)
            throw py::value_error("a tensor of another size");
        places.push_back({number, dtype, shape, binds, data, bytes});
    }
    return places;
}

py::object caller(const py::object &self, uint32_t entry, const Tensors &inputs, const Tensors &outputs)
{
    auto &session = self.cast<Session &>();
    py::capsule state(new Caller{self, &session, entry, places_of(session, inputs), places_of(session, outputs),
                                 std::vector<pe_binding>(inputs.size() + outputs.size() + 1),
                                 std::vector<bool>(outputs.size())},
                      [](void *c) { delete static_cast<Caller *>(c); });
    return py::reinterpret_steal<py::object>(PyCFunction_NewEx(&call_definition, state.ptr(), nullptr));
}
