// Ops outside any plan, on arrays where they lie. Part of core.cpp.

// One op outside any plan: the record of each tensor, and a pe_call over them.
struct SingleOp {
    const pe_op_def *def;
    std::vector<uint32_t> params; // 4-byte aligned copy
    std::vector<pe_tensor> tensors;
    pe_call call = {};

    SingleOp(uint32_t kind, const std::string &bytes, size_t inputs, size_t outputs)
        : params((bytes.size() + 3) / 4), tensors(inputs + outputs)
    {
        def = kind <= UINT16_MAX ? pe_op_find(static_cast<uint16_t>(kind)) : nullptr;
        if (!def)
            refuse(PE_ERR_UNKNOWN_OP, std::nullopt, std::nullopt, ("op kind " + std::to_string(kind)).c_str());
        if (inputs + outputs > PE_MAX_OP_TENSORS)
            refuse(PE_ERR_OP, std::nullopt, std::nullopt, "more tensors than an op can have");
        if (!bytes.empty())
            std::memcpy(params.data(), bytes.data(), bytes.size());
        call.kernels = pe_kernels_best(cpu_features);
        call.params = params.data();
        call.inputs = static_cast<uint8_t>(inputs);
        call.outputs = static_cast<uint8_t>(outputs);
    }

    void set(size_t i, int dtype, const std::vector<py::ssize_t> &dims)
    {
        pe_tensor &t = tensors[i];
        uint32_t number = static_cast<uint32_t>(i);
        t.dtype = static_cast<uint8_t>(dtype >= 0 && dtype <= UINT8_MAX ? dtype : 0);
        t.kind = PE_TENSOR_ARENA;
        if (dims.size() > PE_MAX_RANK)
            refuse(PE_ERR_TENSOR, std::nullopt, number, "rank");
        t.rank = static_cast<uint8_t>(dims.size());
        uint64_t bytes = 1u << pe_dtype_shift(t.dtype);
        for (size_t k = 0; k < PE_MAX_RANK; k++) {
            py::ssize_t n = k < dims.size() ? dims[k] : 1;
            if (n < 1 || n > PE_MAX_EXTENT || bytes * static_cast<uint64_t>(n) > PE_MAX_EXTENT)
                refuse(PE_ERR_TENSOR, std::nullopt, number, "dims");
            t.dims[k] = static_cast<int32_t>(n);
            bytes *= static_cast<uint64_t>(n);
        }
        t.bytes = static_cast<uint32_t>(bytes);
        if (const char *fault = pe_tensor_fault(&t))
            refuse(PE_ERR_TENSOR, std::nullopt, number, fault);
        call.tensor[i] = &t;
    }

    uint32_t check(size_t params_bytes)
    {
        const char *text;
        uint32_t scratch;
        call.params_bytes = static_cast<uint32_t>(params_bytes);
        pe_status status = pe_op_check(def, &call, &scratch, &text);
        if (status != PE_OK)
            refuse(status, std::nullopt, std::nullopt, text);
        return scratch;
    }
};

uint32_t op_check(uint32_t kind, const py::bytes &params, const std::vector<std::optional<py::tuple>> &tensors,
                  size_t inputs)
{
    if (inputs > tensors.size())
        throw py::value_error("more inputs than tensors");
    std::string bytes = params;
    SingleOp op(kind, bytes, inputs, tensors.size() - inputs);
    for (size_t i = 0; i < tensors.size(); i++) {
        if (!tensors[i])
            continue;
        const py::tuple &t = *tensors[i];
        op.set(i, t[0].cast<int>(), t[1].cast<std::vector<py::ssize_t>>());
        if (t.size() > 2) {
            op.tensors[i].scale = t[2].cast<float>();
            op.tensors[i].zero_point = t[3].cast<int32_t>();
        }
    }
    return op.check(bytes.size());
}

int dtype_of(const py::array &a)
{
    static const struct {
        const char *name;
        pe_dtype dtype;
    } known[] = {
        {"float32", PE_F32}, {"int8", PE_S8},     {"int32", PE_S32},     {"bool", PE_BOOL}, {"uint8", PE_U8},
        {"int16", PE_S16},   {"uint16", PE_U16},  {"uint32", PE_U32},    {"int64", PE_S64}, {"uint64", PE_U64},
        {"float16", PE_F16}, {"float64", PE_F64}, {"bfloat16", PE_BF16},
    };
    std::string name = py::str(a.dtype()); // ">f4" and the like are in another byte order
    for (const auto &k : known) {
        if (name == k.name)
            return k.dtype;
    }
    throw py::type_error("arrays must be of a number type that plans have, not " + name);
}

// The kernels want tensors on PE_ARENA_ALIGN. NumPy's own arrays are; a view that is not goes through a copy.
struct Operand {
    uint8_t *array;
    size_t bytes;
    std::unique_ptr<Memory> copy;

    explicit Operand(const py::array &a) : array(static_cast<uint8_t *>(const_cast<void *>(a.data())))
    {
        bytes = static_cast<size_t>(a.nbytes());
        if (!is_aligned(array, PE_ARENA_ALIGN)) {
            copy = std::make_unique<Memory>(bytes);
            std::memcpy(copy->data(), array, bytes);
        }
    }
    uint8_t *data() const { return copy ? copy->data() : array; }
    bool overlaps(const Operand &o) const { return array < o.array + o.bytes && o.array < array + bytes; }
};

// Arrays as an arena of which they are the tensors: from the lowest address up. Where they lie further apart than a plan's
// offsets reach, copies stand in for them.
class ArrayArena
{
  public:
    ArrayArena(SingleOp &op, const std::vector<Operand> &operands, const std::vector<size_t> &number) : op_(op)
    {
        const uint8_t *end = nullptr;
        for (size_t k = 0; k < operands.size(); k++) {
            if (op.tensors[number[k]].kind == PE_TENSOR_CONST)
                continue;
            uint8_t *data = static_cast<uint8_t *>(op.call.data[number[k]]);
            base_ = base_ && base_ < data ? base_ : data;
            end = std::max<const uint8_t *>(end, data + operands[k].bytes);
            used_.push_back(number[k]);
        }
        if (end - base_ > INT32_MAX) {
            size_t bytes = 0;
            for (size_t i : used_)
                bytes += aligned(op.tensors[i].bytes);
            copies_ = std::make_unique<Memory>(bytes);
            base_ = copies_->data();
        }
        size_t at = 0;
        for (size_t i : used_) {
            pe_tensor &t = op.tensors[i];
            t.offset = static_cast<uint32_t>(copies_ ? at : static_cast<uint8_t *>(op.call.data[i]) - base_);
            at += aligned(t.bytes);
        }
    }

    void run(const pe_layer *layer, const pe_layer_bytes &bytes)
    {
        Memory packed(bytes.packed), work(bytes.work);
        layer->pack(&op_.call, packed.data());
        for (size_t i : used_) {
            if (copies_ && i < op_.call.inputs)
                std::memcpy(base_ + op_.tensors[i].offset, op_.call.data[i], op_.tensors[i].bytes);
        }
        layer->run(packed.data(), base_, work.data());
        for (size_t i : used_) {
            if (copies_ && i >= op_.call.inputs)
                std::memcpy(op_.call.data[i], base_ + op_.tensors[i].offset, op_.tensors[i].bytes);
        }
    }

  private:
    static size_t aligned(size_t bytes) { return (bytes + PE_PLAN_ALIGN - 1) / PE_PLAN_ALIGN * PE_PLAN_ALIGN; }

    SingleOp &op_;
    uint8_t *base_ = nullptr;
    std::vector<size_t> used_; // numbers of inputs and outputs that are no constants
    std::unique_ptr<Memory> copies_;
};

void op_run(uint32_t kind, const py::bytes &params, const std::vector<std::optional<py::array>> &inputs,
            const std::vector<py::array> &outputs, uint32_t constants)
{
    std::string bytes = params;
    SingleOp op(kind, bytes, inputs.size(), outputs.size());
    std::vector<Operand> operands;
    std::vector<size_t> number; // of each operand
    for (size_t i = 0; i < inputs.size() + outputs.size(); i++) {
        bool is_input = i < inputs.size();
        if (is_input && !inputs[i])
            continue;
        const py::array &a = is_input ? *inputs[i] : outputs[i - inputs.size()];
        if (!(a.flags() & py::array::c_style))
            throw py::type_error("arrays must be C-contiguous");
        if (!is_input && !a.writeable())
            throw py::type_error("an output array is read-only");
        op.set(i, dtype_of(a), std::vector<py::ssize_t>(a.shape(), a.shape() + a.ndim()));
        if (is_input && constants >> i & 1)
            op.tensors[i].kind = PE_TENSOR_CONST;
        Operand operand(a);
        for (size_t k = 0; k < operands.size(); k++) {
            if (!is_input && operand.overlaps(operands[k]))
                throw py::value_error("an output array overlaps another array");
        }
        op.call.data[i] = operand.data();
        operands.push_back(std::move(operand));
        number.push_back(i);
    }
    uint32_t scratch_bytes = op.check(bytes.size());
    {
        py::gil_scoped_release release;
        FloatControl control;
        ArrayArena arena(op, operands, number);
        pe_layer_bytes layer_bytes;
        if (const pe_layer *layer = pe_layer_for(op.def->kind, cpu_features, &op.call, &layer_bytes)) {
            arena.run(layer, layer_bytes);
        } else {
            Memory scratch(scratch_bytes);
            op.call.scratch = scratch.data();
            op.call.scratch_bytes = scratch_bytes;
            op.def->run(&op.call);
        }
        for (size_t i = inputs.size(); i < inputs.size() + outputs.size(); i++)
            pe_canonicalize_nans(&op.tensors[i], op.call.data[i]);
    }
    for (size_t k = 0; k < operands.size(); k++) {
        if (number[k] >= inputs.size() && operands[k].copy)
            std::memcpy(operands[k].array, operands[k].data(), operands[k].bytes);
    }
}
