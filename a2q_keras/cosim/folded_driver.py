"""The C++ that streams codes through a folded design in Verilator; `watch.h` names its accumulator registers."""

DRIVER = r"""
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>
#include "Vfolded.h"
#include "Vfolded___024root.h"
#include "verilated.h"

// a port of up to 64 bits is an integer, a wider one a VlWide
template <typename T> void put(T& port, const uint32_t* words, int count) {
    uint64_t value = words[0];
    if (count > 1) value |= uint64_t(words[1]) << 32;
    port = T(value);
}
template <std::size_t N> void put(VlWide<N>& port, const uint32_t* words, int) {
    for (std::size_t i = 0; i < N; ++i) port[i] = words[i];
}
template <typename T> void get(const T& port, uint32_t* words, int count) {
    words[0] = uint32_t(port);
    if (count > 1) words[1] = uint32_t(uint64_t(port) >> 32);
}
template <std::size_t N> void get(const VlWide<N>& port, uint32_t* words, int) {
    for (std::size_t i = 0; i < N; ++i) words[i] = port[i];
}

// a design without registers has neither clock nor reset
template <typename T> auto clock(T* top, int level) -> decltype(void(top->clk = level)) { top->clk = level; }
template <typename T> auto reset(T* top, int level) -> decltype(void(top->rst = level)) { top->rst = level; }
void clock(void*, int) {}
void reset(void*, int) {}

struct Watch {
    int64_t low = INT64_MAX, high = INT64_MIN;
    void see(uint64_t code, int bits) {
        int64_t value = int64_t(code << (64 - bits)) >> (64 - bits);
        if (value < low) low = value;
        if (value > high) high = value;
    }
};

#include "watch.h"  // IN_WORDS, OUT_WORDS, WATCHED, enabled(root, on), watch(root, on, seen)

int main(int argc, char** argv) {
    const long beats_in = atol(argv[4]), beats_out = atol(argv[5]);
    const unsigned gaps = atoi(argv[6]), pressure = atoi(argv[7]);
    std::mt19937 dice(atoi(argv[8]));
    std::vector<uint32_t> in(beats_in * IN_WORDS), out(beats_out * OUT_WORDS);
    std::vector<uint64_t> when;
    FILE* file = fopen(argv[1], "rb");
    if (!file || fread(in.data(), 4, in.size(), file) != in.size()) return 2;
    fclose(file);

    VerilatedContext context;
    Vfolded top{&context};
    std::vector<Watch> seen(WATCHED);
    std::vector<char> on(WATCHED);
    auto edge = [&] { clock(&top, 1); top.eval(); clock(&top, 0); top.eval(); };
    clock(&top, 0); reset(&top, 1);
    top.i_valid = 0; top.o_ready = 0;
    top.eval(); edge(); edge();
    reset(&top, 0);

    long sent = 0;
    bool offered = false;
    uint64_t idle = 0;
    for (uint64_t cycle = 0; long(when.size()) < beats_out && idle < 1000000; ++cycle, ++idle) {
        // what was offered stays until it is taken, as a stream must
        if (!offered && sent < beats_in && dice() % 100 >= gaps) {
            offered = true;
            put(top.i_data, &in[sent * IN_WORDS], IN_WORDS);
        }
        top.i_valid = offered;
        top.o_ready = dice() % 100 >= pressure;
        top.eval();
        if (offered && top.i_ready) { offered = false; ++sent; idle = 0; }
        if (top.o_valid && top.o_ready) {
            get(top.o_data, &out[when.size() * OUT_WORDS], OUT_WORDS);
            when.push_back(cycle);
            idle = 0;
        }
        enabled(top.rootp, on);
        edge();
        watch(top.rootp, on, seen);
    }
    file = fopen(argv[2], "wb");
    if (!file || fwrite(out.data(), 4, out.size(), file) != out.size() || fclose(file)) return 3;
    file = fopen(argv[3], "wb");
    if (!file || fwrite(when.data(), 8, when.size(), file) != when.size() || fclose(file)) return 3;
    for (auto& held : seen) printf("%lld %lld\n", (long long)held.low, (long long)held.high);
    return 0;
}
"""
