// pyedge._core: buffers in, buffers out, refusals as exceptions. What the names mean: pyedge/_core.pyi.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <unistd.h>

extern "C" {
#include "kernels/cpu.h"
#include "kernels/kernels.h"
#include "kernels/layers.h"
#include "ops/ops.h"
#include "pyedge_custom.h"
}

#if defined(__x86_64__) || defined(__SSE2__)
#include <xmmintrin.h>
#endif

#include "bindings/peaks.hpp"

namespace py = pybind11;

namespace
{

PyObject *plan_refused; // PlanRefused, owned by the module

[[noreturn]] void refuse(pe_status status, std::optional<uint32_t> op, std::optional<uint32_t> tensor, const char *text)
{
    // The text may come from a damaged plan: any bytes.
    py::object message = py::reinterpret_steal<py::object>(PyUnicode_DecodeUTF8(text, std::strlen(text), "replace"));
    py::tuple args = py::make_tuple(static_cast<int>(status), pe_status_text(status), op, tensor, message);
    PyErr_SetObject(plan_refused, args.ptr());
    throw py::error_already_set();
}

struct Level {
    const char *name;
    uint32_t features;
};
// From the lowest up; those of another architecture are known, and this CPU has none of their features.
const Level levels[] = {{"portable", PE_ISA_PORTABLE}, {"avx2", PE_ISA_AVX2}, {"avx512", PE_ISA_AVX512},
                        {"neon", PE_ISA_NEON},         {"fp16", PE_ISA_FP16}, {"dotprod", PE_ISA_DOTPROD},
                        {"i8mm", PE_ISA_I8MM},         {"rvv", PE_ISA_RVV},   {"zvfh", PE_ISA_ZVFH}};

// The features that sessions use: those of the CPU, or of the level that PYEDGE_ISA names if that is lower.
uint32_t cpu_features;

uint32_t level_features(const std::string &name)
{
    std::string known;
    for (const Level &level : levels) {
        if (name == level.name)
            return level.features;
        known += std::string(known.empty() ? "" : ", ") + level.name;
    }
    throw py::value_error("'" + name + "' is no ISA level; the levels are " + known);
}

void choose_features()
{
    const char *wanted = std::getenv("PYEDGE_ISA");
    cpu_features = pe_cpu_features();
    if (wanted && *wanted)
        cpu_features &= level_features(wanted);
}

// (the level that sessions use, the features that the CPU has)
std::pair<std::string, std::vector<std::string>> features()
{
    static const Level bits[] = {{"avx2", PE_CPU_AVX2},       {"avx512", PE_CPU_AVX512}, {"vnni", PE_CPU_VNNI},
                                 {"vbmi", PE_CPU_VBMI},       {"neon", PE_CPU_NEON},     {"fp16", PE_CPU_FP16},
                                 {"dotprod", PE_CPU_DOTPROD}, {"fhm", PE_CPU_FHM},       {"i8mm", PE_CPU_I8MM},
                                 {"rvv", PE_CPU_RVV},         {"zvfh", PE_CPU_ZVFH}};
    std::pair<std::string, std::vector<std::string>> found;
    for (const Level &level : levels) {
        if ((cpu_features & level.features) == level.features)
            found.first = level.name;
    }
    for (const Level &bit : bits) {
        if (pe_cpu_features() & bit.features)
            found.second.emplace_back(bit.name);
    }
    return found;
}

// The kernels' bits hold for round to nearest even with subnormals; whatever the process has set returns afterwards.
class FloatControl
{
  public:
#if defined(__x86_64__) || defined(__SSE2__)
    FloatControl() : saved_(_mm_getcsr()) { set(saved_, usual); }
    ~FloatControl() { set(usual, saved_); }

  private:
    static const unsigned flags = 0x3F,
                          usual = 0x1F80; // all exceptions masked, no FTZ, no DAZ; flags of the past don't matter
    static void set(unsigned from, unsigned to)
    {
        if ((from ^ to) & ~flags) // writing costs more than a small op
            _mm_setcsr(to);
    }
    unsigned saved_;
#elif defined(__aarch64__)
    FloatControl()
    {
        __asm__ volatile("mrs %0, fpcr" : "=r"(saved_));
        __asm__ volatile("msr fpcr, xzr" ::: "memory");
    }
    ~FloatControl() { __asm__ volatile("msr fpcr, %0" ::"r"(saved_) : "memory"); }

  private:
    uint64_t saved_;
#elif defined(__arm__) && defined(__ARM_FP)
    FloatControl()
    {
        __asm__ volatile("vmrs %0, fpscr" : "=r"(saved_));
        __asm__ volatile("vmsr fpscr, %0" ::"r"(0) : "memory");
    }
    ~FloatControl() { __asm__ volatile("vmsr fpscr, %0" ::"r"(saved_) : "memory"); }

  private:
    uint32_t saved_;
#elif defined(__riscv_flen)
    FloatControl() { __asm__ volatile("fsrm %0, zero" : "=r"(saved_)::"memory"); }
    ~FloatControl() { __asm__ volatile("fsrm %0" ::"r"(saved_) : "memory"); }

  private:
    unsigned long saved_;
#endif
  public:
    FloatControl(const FloatControl &) = delete;
    FloatControl &operator=(const FloatControl &) = delete;
};

#include "bindings/threads.h"

// Zeroed memory on a cache line. Pages are not touched before they are used.
class Memory
{
  public:
    explicit Memory(size_t bytes) : block_(std::calloc(bytes + PE_PLAN_ALIGN, 1), std::free)
    {
        if (!block_)
            throw std::bad_alloc();
    }
    uint8_t *data() const
    {
        uintptr_t p = reinterpret_cast<uintptr_t>(block_.get());
        return reinterpret_cast<uint8_t *>((p + PE_PLAN_ALIGN - 1) / PE_PLAN_ALIGN * PE_PLAN_ALIGN);
    }

  private:
    std::unique_ptr<void, void (*)(void *)> block_;
};

template <class T> bool is_aligned(const void *p, T alignment)
{
    return reinterpret_cast<uintptr_t>(p) % alignment == 0;
}

class Plan
{
  public:
    Plan(const py::buffer &data, bool skip_crc, const std::optional<std::string> &isa, bool any_layout)
        : features_(cpu_features & (isa ? level_features(*isa) : ~0u))
    {
        py::buffer_info info = data.request();
        if (!PyBuffer_IsContiguous(info.view(), 'C'))
            throw py::type_error("a plan's bytes must be contiguous");
        bytes_ = static_cast<size_t>(info.size) * static_cast<size_t>(info.itemsize);
        base_ = static_cast<const uint8_t *>(info.ptr);
        // A buffer that its owner can write to could change after it was verified.
        if (!info.readonly || !is_aligned(base_, PE_PLAN_ALIGN)) {
            copy_ = std::make_unique<Memory>(bytes_);
            if (bytes_ != 0)
                std::memcpy(copy_->data(), base_, bytes_);
            base_ = copy_->data();
        } else {
            borrowed_ = std::move(info);
        }
        pe_error err;
        {
            py::gil_scoped_release release;
            const unsigned flags = (skip_crc ? PE_VERIFY_SKIP_CRC : 0) | (any_layout ? PE_VERIFY_ANY_LAYOUT : 0);
            pe_plan_verify(base_, bytes_, flags, &err);
        }
        auto number = [](uint32_t n) { return n == PE_NONE ? std::nullopt : std::optional<uint32_t>(n); };
        if (err.status != PE_OK)
            refuse(err.status, number(err.op), number(err.tensor), err.text);
    }

    // Made when first asked for: many plans are read, saved or sent to a board and never run here.
    const pe_pack *pack()
    {
        py::gil_scoped_release release; // outside: who waits for another thread's pack must not hold it
        std::call_once(packed_, [this] {
            FloatControl control;
            pack_ = std::make_unique<Memory>(pe_pack_bytes(base_, features_));
            pe_pack_init(reinterpret_cast<pe_pack *>(pack_->data()), base_, features_);
        });
        return reinterpret_cast<const pe_pack *>(pack_->data());
    }
    const uint8_t *base() const { return base_; }
    size_t bytes() const { return bytes_; }
    const pe_plan_header *header() const { return reinterpret_cast<const pe_plan_header *>(base_); }

  private:
    const uint8_t *base_;
    size_t bytes_;
    uint32_t features_;
    std::unique_ptr<Memory> copy_, pack_;
    std::once_flag packed_;
    py::buffer_info borrowed_;
};

uint64_t nanoseconds(void *)
{
    auto now = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

/* The smallest step of nanoseconds() that is seen, and what one reading takes: the median of many. */
std::pair<uint64_t, uint64_t> clock_cost()
{
    std::array<uint64_t, 257> times;
    for (auto &t : times)
        t = nanoseconds(nullptr);
    std::array<uint64_t, 256> steps;
    for (size_t i = 0; i < steps.size(); i++)
        steps[i] = times[i + 1] - times[i];
    std::sort(steps.begin(), steps.end());
    const auto first = std::upper_bound(steps.begin(), steps.end(), uint64_t{0});
    return {first == steps.end() ? 0 : *first, steps[steps.size() / 2]};
}

class Session
{
  public:
    Session(std::shared_ptr<Plan> plan, int threads)
        : plan_(std::move(plan)), threads_(static_cast<uint32_t>(threads)), count_(static_cast<uint32_t>(threads)),
          arena_(arena_bytes(*plan_->pack(), threads))
    {
        pe_status status =
            pe_session_init_packed(&session_, plan_->pack(), arena_.data(), arena_bytes(*plan_->pack(), threads));
        if (status != PE_OK)
            refuse(status, std::nullopt, std::nullopt,
                   status == PE_ERR_LAYOUT ? "constants for the kernels of another board" : "arena");
    }

    static py::array tensor(const py::object &self, uint32_t number)
    {
        const pe_session &s = self.cast<Session &>().session_;
        const pe_tensor *t = pe_tensor_at(&s, number);
        if (!t)
            throw py::index_error("no tensor " + std::to_string(number));
        py::array_t<uint8_t> view(t->bytes, static_cast<const uint8_t *>(pe_tensor_data(&s, number)), self);
        if (t->kind == PE_TENSOR_CONST)
            view.attr("setflags")(py::arg("write") = false);
        return view;
    }

    std::optional<std::string> kernel(uint32_t op) const
    {
        const char *name = pe_pack_layer(session_.pack, op);
        return name ? std::optional<std::string>(name) : std::nullopt;
    }

    // Whether that kernel takes its first input and its output from the caller's memory.
    bool binds(uint32_t op) const { return pe_pack_binds(session_.pack, op); }

    uint32_t threads() const { return used_; }

    // For who feeds, runs and reads: one at a time. Running alone needs no claim.
    bool acquire() { return !claimed_.test_and_set(std::memory_order_acquire); }
    void release() { claimed_.clear(std::memory_order_release); }

    std::pair<uint8_t *, size_t> bytes_of(uint32_t number) const
    {
        const pe_tensor *t = pe_tensor_at(&session_, number);
        if (!t)
            throw py::index_error("no tensor " + std::to_string(number));
        return {static_cast<uint8_t *>(pe_tensor_data(&session_, number)), t->bytes};
    }

    // Without the GIL. False: running already, or no such entry. bound: as in pe_session.
    bool execute(uint32_t entry, const pe_binding *bound)
    {
        pe_status status;
        return start(entry, nullptr, bound, status) && status == PE_OK;
    }

    bool run(uint32_t entry, std::optional<py::array> counts)
    {
        const pe_profile profile = {nanoseconds, nullptr, counts ? writable_counts(*counts) : nullptr};
        pe_status status;
        {
            py::gil_scoped_release release;
            if (!start(entry, counts ? &profile : nullptr, nullptr, status))
                return false;
        }
        if (status != PE_OK)
            refuse(status, entry, std::nullopt, "no entry of that number");
        return true;
    }

  private:
    bool start(uint32_t entry, const pe_profile *profile, const pe_binding *bound, pe_status &status)
    {
        if (busy_.test_and_set(std::memory_order_acquire))
            return false;
        FloatControl control;
        session_.bound = bound;
        if (count_ == 1) {
            status = pe_run(&session_, entry, profile);
        } else {
            // As long as an entry took, with its threads, decides on the next time; the first is on one.
            uint64_t &work = work_[entry];
            used_ = work >= WORK_TO_SHARE ? count_ : 1;
            session_.threads = used_ > 1 ? threads_.start() : nullptr;
            const uint64_t begin = nanoseconds(nullptr);
            status = pe_run(&session_, entry, profile);
            work = used_ * (nanoseconds(nullptr) - begin);
        }
        busy_.clear(std::memory_order_release);
        return true;
    }

    static size_t arena_bytes(const pe_pack &pack, int threads)
    {
        if (threads < 1 || threads > 64)
            throw py::value_error("threads=" + std::to_string(threads) + ": 1 to 64");
        return pe_pack_arena_bytes(&pack) + static_cast<size_t>(threads - 1) * pack.work_bytes;
    }

    uint64_t *writable_counts(py::array &counts) const
    {
        if (!py::isinstance<py::array_t<uint64_t>>(counts) || counts.ndim() != 1 || !counts.writeable() ||
            !(counts.flags() & py::array::c_style) || !is_aligned(counts.data(), alignof(uint64_t)))
            throw py::type_error("counts must be a writable one-dimensional array of uint64");
        if (static_cast<size_t>(counts.size()) != plan_->header()->ops.bytes / sizeof(pe_op))
            throw py::value_error("counts must have one element per op of the plan");
        return static_cast<uint64_t *>(counts.mutable_data());
    }

    static const uint64_t WORK_TO_SHARE = 1000000; // nanoseconds; below, threads gain too little

    std::shared_ptr<Plan> plan_;
    Threads threads_;
    uint32_t count_, used_ = 1;         // threads at most, and in the last run
    std::map<uint32_t, uint64_t> work_; // nanoseconds of the threads together, by entry
    Memory arena_;
    pe_session session_;
    std::atomic_flag busy_ = ATOMIC_FLAG_INIT, claimed_ = ATOMIC_FLAG_INIT;
};

#include "bindings/caller.h"

#include "bindings/single_op.h"

// The kernels of custom ops, in the order in which they came. None is ever removed: a session may be running it.
std::deque<pe_custom_op> custom_ops;
std::shared_mutex custom_lock;

py::dict custom_add(uintptr_t address, uint32_t source)
{
    pe_custom_op op = *reinterpret_cast<const pe_custom_op *>(address);
    if (op.abi != PE_CUSTOM_ABI)
        throw py::value_error("compiled for version " + std::to_string(op.abi) + " of pyedge_custom.h, this is " +
                              std::to_string(PE_CUSTOM_ABI));
    if (op.source == 0)
        op.source = source;
    std::unique_lock lock(custom_lock);
    bool known = false;
    for (const pe_custom_op &k : custom_ops)
        known = known || (std::strcmp(k.name, op.name) == 0 && k.source == op.source);
    if (!known)
        custom_ops.push_back(op);
    return py::dict(py::arg("name") = op.name, py::arg("source") = op.source, py::arg("params_bytes") = op.params_bytes,
                    py::arg("inputs") = op.inputs, py::arg("outputs") = op.outputs);
}

std::vector<std::string> kernels(const std::string &op)
{
    std::vector<std::string> names;
    for (const char *const *name = pe_kernel_names; *name; name++) {
        if (std::strncmp(*name, op.c_str(), op.size()) == 0)
            names.emplace_back(*name);
    }
    return names;
}

py::dict op_kinds()
{
    py::dict kinds;
    for (uint32_t i = 0; i < pe_op_table_size; i++) {
        if (pe_op_table[i])
            kinds[pe_op_table[i]->name] = pe_op_table[i]->kind;
    }
    return kinds;
}

uint32_t crc32(const py::buffer &data)
{
    py::buffer_info info = data.request();
    if (!PyBuffer_IsContiguous(info.view(), 'C'))
        throw py::type_error("data must be contiguous");
    return pe_crc32(0, info.ptr, static_cast<size_t>(info.size) * static_cast<size_t>(info.itemsize));
}

} // namespace

// In the place of the table of a firmware: custom.c finds its ops here.
extern "C" const pe_custom_op *pe_custom_at(uint32_t i)
{
    std::shared_lock lock(custom_lock);
    return i < custom_ops.size() ? &custom_ops[i] : nullptr;
}

PYBIND11_MODULE(_core, m)
{
    plan_refused = PyErr_NewException("pyedge._core.PlanRefused", nullptr, nullptr);
    m.attr("PlanRefused") = py::reinterpret_borrow<py::object>(plan_refused);
    choose_features();
    m.def("abi_version", pe_abi_version);
    m.def("cpu_features", features);
    m.def("crc32", crc32, py::arg("data"));
    m.def(
        "clock_cost", clock_cost,
        "(step, cost) in ns of the clock that profiles are measured with; each op of a profile has one reading in it.");
    m.def(
        "peaks",
        [](const std::vector<size_t> &read_bytes, double seconds) {
            py::gil_scoped_release release;
            return peaks::measure(cpu_features, read_bytes, seconds);
        },
        py::arg("read_bytes"), py::arg("seconds"));
    m.def("op_kinds", op_kinds);
    m.def("kernels", kernels, py::arg("op") = "");
    m.def("op_check", op_check, py::arg("kind"), py::arg("params"), py::arg("tensors"), py::arg("inputs"));
    m.def("custom_add", custom_add, py::arg("address"), py::arg("source"));
    m.def("op_run", op_run, py::arg("kind"), py::arg("params"), py::arg("inputs"), py::arg("outputs"),
          py::arg("constants") = 0);

    py::class_<Plan, std::shared_ptr<Plan>>(m, "Plan", py::buffer_protocol())
        .def(py::init<const py::buffer &, bool, const std::optional<std::string> &, bool>(), py::arg("data"),
             py::arg("skip_crc") = false, py::arg("isa") = py::none(), py::arg("any_layout") = false)
        .def_property_readonly("arena_bytes", [](const Plan &p) { return p.header()->arena_bytes; })
        .def_property_readonly("data", [](const py::object &self) { return py::memoryview(self); })
        .def_buffer([](Plan &p) {
            return py::buffer_info(const_cast<uint8_t *>(p.base()), 1, py::format_descriptor<uint8_t>::format(), 1,
                                   {p.bytes()}, {1}, true);
        });

    py::class_<Session>(m, "Session")
        .def(py::init<std::shared_ptr<Plan>, int>(), py::arg("plan"), py::arg("threads") = 1)
        .def_property_readonly("threads", &Session::threads)
        .def("acquire", &Session::acquire)
        .def("release", &Session::release)
        .def("caller", caller, py::arg("entry"), py::arg("inputs"), py::arg("outputs"))
        .def("kernel", &Session::kernel, py::arg("op"))
        .def("binds", &Session::binds, py::arg("op"))
        .def("tensor", &Session::tensor, py::arg("number"))
        .def("run", &Session::run, py::arg("entry"), py::arg("counts") = py::none());
}
