#include "image.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "error.h"

namespace aecrnet {
namespace fs = std::filesystem;
namespace {

bool HasImageName(const fs::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extension == ".png" || extension == ".jpg" || extension == ".jpeg";
}

std::vector<std::uint8_t> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw InputError("cannot be read (" + std::string(std::strerror(errno)) + ")");
  std::vector<std::uint8_t> data{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) throw InputError("cannot be read to its end");
  return data;
}

bool StartsWith(const std::vector<std::uint8_t>& data, const char* prefix, std::size_t size) {
  return data.size() >= size && std::memcmp(data.data(), prefix, size) == 0;
}

}  // namespace

Image ReadImage(const std::string& path) {
  try {
    const std::vector<std::uint8_t> file = ReadFile(path);
    Image image;
    if (StartsWith(file, "\x89PNG\r\n\x1a\n", 8)) {
      image = DecodePng(file);
    } else if (StartsWith(file, "\xff\xd8\xff", 3)) {
      image = DecodeJpeg(file);
    } else {
      throw InputError("neither PNG nor JPEG");
    }
    if (image.height < kMinSide || image.width < kMinSide) {
      throw InputError("is " + std::to_string(image.width) + "x" + std::to_string(image.height) +
                       ", both sides must be at least " + std::to_string(kMinSide) + " pixels");
    }
    return image;
  } catch (const InputError& error) {
    throw InputError(path + ": " + error.what());
  }
}

std::vector<std::string> ListImages(const std::string& path) {
  std::error_code failed;
  const fs::file_status status = fs::status(path, failed);
  if (fs::is_regular_file(status)) return {path};
  if (!fs::is_directory(status)) throw InputError(path + ": no such file or folder");
  fs::directory_iterator folder(path, failed);
  if (failed) throw InputError(path + ": cannot be read (" + failed.message() + ")");
  std::vector<std::string> images;
  for (const fs::directory_entry& entry : folder) {
    const fs::path& name = entry.path();
    if (HasImageName(name) && name.filename().string().front() != '.' && entry.is_regular_file(failed)) {
      images.push_back(name.string());
    }
  }
  if (images.empty()) throw InputError(path + ": no images (.png, .jpg, .jpeg)");
  std::sort(images.begin(), images.end());
  return images;
}

}  // namespace aecrnet
