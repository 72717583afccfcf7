// Files of 32-bit words in this machine's byte order; a failure ends the program with status 1.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <vector>

inline std::vector<uint32_t> read_words(const char *path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    std::vector<uint32_t> words(static_cast<std::size_t>(file ? std::streamoff(file.tellg()) : 0) / 4);
    file.seekg(0);
    if (!file.read(reinterpret_cast<char *>(words.data()), words.size() * 4)) {
        std::cerr << "cannot read " << path << std::endl;
        std::exit(1);
    }
    return words;
}

inline void write_words(const char *path, const std::vector<uint32_t> &words) {
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char *>(words.data()), words.size() * 4);
    if (!file.flush()) {
        std::cerr << "cannot write " << path << std::endl;
        std::exit(1);
    }
}
