#include "options.h"

#include <charconv>
#include <functional>
#include <locale>
#include <map>
#include <set>
#include <sstream>

#include "dehaze.h"
#include "error.h"
#include "image.h"
#include "tiling.h"
#include "work_size.h"

namespace aecrnet {
namespace {

constexpr int kMinTile = (kReceptiveField + kAlign - 1) / kAlign * kAlign;

int ToInteger(const std::string& flag, const std::string& value, int low, int high) {
  int number = 0;
  const char* end = value.data() + value.size();
  const auto [stop, error] = std::from_chars(value.data(), end, number);
  if (error != std::errc() || stop != end || number < low || number > high) {
    throw UsageError(flag + ": must be a whole number from " + std::to_string(low) + " to " + std::to_string(high) +
                     ", not " + (value.empty() ? "empty" : value));
  }
  return number;
}

float ToStrength(const std::string& flag, const std::string& value) {
  std::istringstream text(value);
  text.imbue(std::locale::classic());
  float number = -1.0F;
  if (!(text >> number) || !text.eof() || !(number >= 0.0F && number <= 1.0F)) {
    throw UsageError(flag + ": must be from 0 to 1, not " + value);
  }
  return number;
}

void CheckWorkSize(int work_size) {
  if (work_size == kAutoWorkSize || work_size == kFullResolution) return;
  if (work_size < kSmallestWorkSize || work_size % kAlign != 0) {
    throw UsageError("--work_size: must be a multiple of 4 from " + std::to_string(kSmallestWorkSize) +
                     " on, 0 (automatic) or -1 (full resolution), not " + std::to_string(work_size));
  }
}

void CheckTile(const Options& options) {
  const bool is_given = options.tile != 0 && options.tile != kWholeImage;
  if (is_given && options.tile < kMinTile) {
    throw UsageError("--tile: must be at least " + std::to_string(kMinTile) + " (a pixel depends on " +
                     std::to_string(kReceptiveField) + " pixels across), 0 (automatic) or -1 (never), not " +
                     std::to_string(options.tile));
  }
  if (is_given && options.tile % kAlign != 0) {
    throw UsageError("--tile: must be a multiple of 4, not " + std::to_string(options.tile));
  }
  const int tile = is_given ? options.tile : kAutoTile;
  if (options.overlap > tile - kMinSide) {
    throw UsageError("--overlap: must be at most " + std::to_string(tile - kMinSide) + " for tiles of " +
                     std::to_string(tile) + ", not " + std::to_string(options.overlap));
  }
}

void CheckRequired(const Options& options, const std::set<std::string>& seen) {
  for (const char* flag : {"--model_path", "--input"}) {
    if (seen.count(flag) == 0) throw UsageError(std::string(flag) + ": missing; see --help");
  }
  if (seen.count("--output") == 0 && !options.benchmark) {
    throw UsageError("--output: missing (only --benchmark does without); see --help");
  }
}

}  // namespace

Options ParseOptions(const std::vector<std::string>& arguments) {
  constexpr int kMany = 1 << 20;
  Options options;
  const std::map<std::string, std::function<void(const std::string&, const std::string&)>> with_value = {
      {"--model_path", [&](const auto&, const auto& value) { options.model_path = value; }},
      {"--input", [&](const auto&, const auto& value) { options.input = value; }},
      {"--output", [&](const auto&, const auto& value) { options.output = value; }},
      {"--device_target", [&](const auto&, const auto& value) { options.device_target = value; }},
      {"--device_id",
       [&](const auto& flag, const auto& value) { options.device_id = ToInteger(flag, value, 0, 4095); }},
      {"--threads", [&](const auto& flag, const auto& value) { options.threads = ToInteger(flag, value, 1, 1024); }},
      {"--work_size",
       [&](const auto& flag, const auto& value) { options.work_size = ToInteger(flag, value, -1, kMany); }},
      {"--strength", [&](const auto& flag, const auto& value) { options.strength = ToStrength(flag, value); }},
      {"--tile", [&](const auto& flag, const auto& value) { options.tile = ToInteger(flag, value, -1, kMany); }},
      {"--overlap", [&](const auto& flag, const auto& value) { options.overlap = ToInteger(flag, value, 0, kMany); }},
  };
  std::set<std::string> seen;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::size_t equals = arguments[i].find('=');
    const std::string flag = arguments[i].substr(0, equals);
    if (flag == "--help" || flag == "-h") {
      options.help = true;
      return options;
    }
    if (!seen.insert(flag).second) throw UsageError(flag + ": given twice");
    if (flag == "--benchmark" && equals == std::string::npos) {
      options.benchmark = true;
      continue;
    }
    const auto reader = with_value.find(flag);
    if (reader == with_value.end()) throw UsageError(arguments[i] + ": unknown argument; see --help");
    if (equals == std::string::npos && i + 1 == arguments.size()) throw UsageError(flag + ": needs a value");
    const std::string value = equals == std::string::npos ? arguments[++i] : arguments[i].substr(equals + 1);
    if (value.empty()) throw UsageError(flag + ": needs a value");
    reader->second(flag, value);
  }
  CheckRequired(options, seen);
  if (options.device_target != "CPU" && options.device_target != "Ascend310") {
    throw UsageError("--device_target: must be CPU or Ascend310, not " + options.device_target);
  }
  CheckWorkSize(options.work_size);
  CheckTile(options);
  return options;
}

std::string Usage() {
  return "aecrnet_infer: dehaze PNG and JPEG images with an exported AECR-Net.\n"
         "\n"
         "  --model_path M.mindir     written by export.py, with M.json beside it\n"
         "  --input FILE_OR_FOLDER    PNG or JPEG\n"
         "  --output FOLDER           for NAME.png of every image; made if need be\n"
         "  --device_target CPU       CPU or Ascend310\n"
         "  --device_id 0             which Ascend card\n"
         "  --threads 2               processor threads\n"
         "  --work_size 0             longer side in pixels at which the network sees a photo, a multiple of 4 from 64\n"
         "                            on; a local colour map carries the result to every pixel; 0: 512 for photos above\n"
         "                            1 megapixel and at most 800 for others, or what a model of fixed size takes;\n"
         "                            -1: full resolution\n"
         "  --strength 1              how much of the change to apply, from 0 (none) to 1\n"
         "  --tile 0                  what the network is to see (--work_size) is cut into tiles with sides of at most so\n"
         "                            many pixels, a multiple of 4 from " +
         std::to_string(kMinTile) +
         " on; 0: tiles of 512 above 1 megapixel;\n"
         "                            -1: no tiles\n"
         "  --overlap 64              pixels that neighbouring tiles share and blend over, at least\n"
         "  --benchmark               run every image once to warm up and ten times measured; --output may be left "
         "out\n"
         "\n"
         "Exit code: 0 all images done, 1 a file, model or device cannot be used, 2 wrong arguments.\n";
}

}  // namespace aecrnet
