// The design as Verilator compiles it: the same face as cxxrtl.h.
#pragma once
#include "Vdesign.h"
#include "design.h"
#include "verilated.h"
#include <cstdint>
#include <type_traits>

template <typename T, typename = std::enable_if_t<std::is_integral_v<T>>> void put(T &bus, const uint32_t *words) {
    bus = static_cast<T>(words[0]);
    if constexpr (sizeof(T) > 4)
        bus |= static_cast<T>(words[1]) << 32;
}

template <std::size_t N> void put(VlWide<N> &bus, const uint32_t *words) {
    for (std::size_t i = 0; i < N; ++i)
        bus[i] = words[i];
}

template <typename T, typename = std::enable_if_t<std::is_integral_v<T>>> void get(const T &bus, uint32_t *words) {
    words[0] = static_cast<uint32_t>(bus);
    if constexpr (sizeof(T) > 4)
        words[1] = static_cast<uint32_t>(bus >> 32);
}

template <std::size_t N> void get(const VlWide<N> &bus, uint32_t *words) {
    for (std::size_t i = 0; i < N; ++i)
        words[i] = bus[i];
}

struct Simulation {
    Vdesign top;

    // combinational logic follows its inputs
    void settle() { top.eval(); }

#ifdef CLOCK
    // one clock cycle
    void tick() {
        top.CLOCK = 0;
        top.eval();
        top.CLOCK = 1;
        top.eval();
    }
#endif
};
