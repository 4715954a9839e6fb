// SHA-256 (FIPS 180-4). It tells a truncated or exchanged model from the model that the sidecar describes.
#ifndef AECRNET_INC_SHA256_H_
#define AECRNET_INC_SHA256_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace aecrnet {

class Sha256 {
 public:
  void Add(const std::uint8_t* data, std::size_t size);
  std::string Hex();  // ends the message; lower case

 private:
  void Compress();

  std::array<std::uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::uint8_t, 64> block_{};
  std::uint64_t length_ = 0;  // bytes
};

// Throws InputError naming the file if it cannot be read.
std::string Sha256OfFile(const std::string& path);

}  // namespace aecrnet

#endif  // AECRNET_INC_SHA256_H_
