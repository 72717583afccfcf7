// The design as Yosys' CXXRTL writes it: the same face as verilator.h.
#pragma once
#include "design.cc"
#include "design.h"
#include <cstdint>

template <std::size_t N> void put(cxxrtl::value<N> &bus, const uint32_t *words) {
    for (std::size_t i = 0; i < cxxrtl::value<N>::chunks; ++i)
        bus.data[i] = words[i];
}

template <std::size_t N> void get(const cxxrtl::value<N> &bus, uint32_t *words) {
    for (std::size_t i = 0; i < cxxrtl::value<N>::chunks; ++i)
        words[i] = bus.data[i];
}

template <std::size_t N> void get(const cxxrtl::wire<N> &bus, uint32_t *words) { get(bus.curr, words); }

struct Simulation {
    cxxrtl_design::MODULE top;

    // combinational logic follows its inputs
    void settle() { top.step(); }

#ifdef CLOCK
    // one clock cycle
    void tick() {
        top.CLOCK.set<bool>(false);
        top.step();
        top.CLOCK.set<bool>(true);
        top.step();
    }
#endif
};
