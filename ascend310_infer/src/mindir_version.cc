#include "mindir_version.h"

#include <cstdint>
#include <fstream>

namespace aecrnet {
namespace {

// mind_ir.proto: int64 mind_ir_version = 13 of ModelProto
constexpr std::uint64_t kVersionField = 13;

bool ReadVarint(std::istream* file, std::uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const int byte = file->get();
    if (byte == std::istream::traits_type::eof()) return false;
    *value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

}  // namespace

// A MINDIR is one protobuf message: a sequence of fields, each with its number and its length.
int MindirVersion(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::uint64_t tag = 0;
  while (ReadVarint(&file, &tag)) {
    std::uint64_t value = 0;
    const std::uint64_t field = tag >> 3;
    switch (tag & 7) {
      case 0:  // number
        if (!ReadVarint(&file, &value)) return 0;
        if (field == kVersionField) return value < 1000 ? static_cast<int>(value) : 0;
        break;
      case 1:
        file.seekg(8, std::ios::cur);
        break;
      case 2:  // length and bytes
        if (!ReadVarint(&file, &value) || value > INT64_MAX) return 0;
        file.seekg(static_cast<std::streamoff>(value), std::ios::cur);
        break;
      case 5:
        file.seekg(4, std::ios::cur);
        break;
      default:
        return 0;
    }
  }
  return 0;
}

}  // namespace aecrnet
