// Helpers of several tests.
#ifndef AECRNET_TEST_TESTING_H_
#define AECRNET_TEST_TESTING_H_

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "image.h"

namespace aecrnet {

// A new folder, which is removed after the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "aecrnet_XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::string operator/(const std::string& name) const { return (std::filesystem::path(path_) / name).string(); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// An image whose pixels all differ from their neighbours.
inline Image TestImage(int height, int width) {
  Image image;
  image.height = height;
  image.width = width;
  for (std::size_t i = 0; i < image.pixels() * 3; ++i) image.rgb.push_back(static_cast<std::uint16_t>(i * 37 % 251));
  return image;
}

// The same with all 16 bits in use.
inline Image TestImage16(int height, int width) {
  Image image = TestImage(height, width);
  image.white = 65535;
  for (std::size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = static_cast<std::uint16_t>(i * 9973 % 65536);
  return image;
}

inline void WriteFile(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

inline std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The message of the exception of type E that `call` throws.
template <typename E, typename Call>
std::string MessageOf(Call call) {
  try {
    call();
  } catch (const E& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

}  // namespace aecrnet

#endif  // AECRNET_TEST_TESTING_H_
