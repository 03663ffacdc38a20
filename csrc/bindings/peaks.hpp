// Runs the loops of peaks.h: the best of many short runs, as what else the machine does can only slow them.
#pragma once
#include <chrono>
#include <vector>

extern "C" {
#include "bindings/peaks.h"
#include "kernels/cpu.h"
}

namespace peaks
{

const pe_peak *const levels[] = {
    &pe_peak_portable,
#if defined(PE_WITH_X86)
    &pe_peak_avx2,
    &pe_peak_avx512,
#elif defined(PE_WITH_ARM64)
    &pe_peak_neon,
    &pe_peak_dotprod,
#endif
};

// Seconds of the fastest call in `budget` seconds, at least three calls.
template <class Call> double fastest(double budget, const Call &call)
{
    using clock = std::chrono::steady_clock;
    const auto begin = clock::now();
    double best = 1e9;
    for (int i = 0; i < 3 || std::chrono::duration<double>(clock::now() - begin).count() < budget; i++) {
        const auto from = clock::now();
        call();
        best = std::min(best, std::chrono::duration<double>(clock::now() - from).count());
    }
    return best;
}

// Operations (a multiply-accumulate is two) and bytes a second: (level, float32, int8, [read at each size]) for the levels
// that a CPU with these features has. seconds: of each measurement.
inline std::vector<std::tuple<std::string, double, double, std::vector<double>>>
measure(uint32_t features, const std::vector<size_t> &read_bytes, double seconds)
{
    const uint64_t rounds = 20000; // some 0.1 ms
    size_t largest = 256;
    for (size_t bytes : read_bytes)
        largest = std::max(largest, bytes);
    std::vector<uint8_t> memory(largest + 64 + 256, 1);
    const uint8_t *aligned = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
    std::vector<std::tuple<std::string, double, double, std::vector<double>>> found;
    for (const pe_peak *level : levels) {
        if ((features & level->needs) != level->needs)
            continue;
        volatile uint8_t seen = 0;
        uint8_t sink[64];
        uint64_t macs = 0;
        const auto rate = [&](auto run) {
            const double best = fastest(seconds, [&] {
                macs = run(rounds, sink);
                seen = sink[0];
            });
            return 2 * static_cast<double>(macs) / best;
        };
        const double floats = rate(level->fma_f32), ints = rate(level->dot_s8);
        std::vector<double> reads;
        for (size_t bytes : read_bytes) {
            const size_t whole = bytes / 256 * 256;
            const size_t times = std::max<size_t>(1, (size_t{1} << 20) / std::max<size_t>(whole, 1));
            const double best = fastest(seconds, [&] {
                for (size_t i = 0; i < times; i++) {
                    level->read(aligned, whole, sink);
                    seen = sink[0];
                }
            });
            reads.push_back(static_cast<double>(whole * times) / best);
        }
        found.emplace_back(level->level, floats, ints, reads);
    }
    return found;
}

} // namespace peaks
