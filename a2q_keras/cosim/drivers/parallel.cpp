// Style parallel: simulate INPUTS OUTPUTS, files of INPUT_WORDS and OUTPUT_WORDS words per sample.
// A new sample enters in every clock cycle and leaves LATENCY cycles later; LATENCY 0: combinational logic.
#include "engine.h"
#include "words.h"
#include <algorithm>

int main(int, char **argv) {
    const auto inputs = read_words(argv[1]);
    const std::size_t samples = inputs.size() / INPUT_WORDS;
    const std::size_t lead = LATENCY ? LATENCY - 1 : 0;
    std::vector<uint32_t> outputs(samples * OUTPUT_WORDS);
    Simulation simulation;
    for (std::size_t cycle = 0; samples && cycle < samples + lead; ++cycle) {
        put(simulation.top.INPUT, &inputs[std::min(cycle, samples - 1) * INPUT_WORDS]);
#ifdef CLOCK
        simulation.tick();
#else
        simulation.settle();
#endif
        if (cycle >= lead)
            get(simulation.top.OUTPUT, &outputs[(cycle - lead) * OUTPUT_WORDS]);
    }
    write_words(argv[2], outputs);
}
