#include "sidecar.h"

#include <filesystem>
#include <fstream>
#include <vector>

#include <nlohmann/json.hpp>

#include "error.h"
#include "sha256.h"
#include "tiling.h"

namespace aecrnet {
namespace {

using nlohmann::json;

void Require(bool holds, const std::string& message) {
  if (!holds) throw InputError(message);
}

Sidecar Parse(const json& values) {
  Require(values.at("format").get<int>() == 1, "format is not 1: written by another version of export.py");
  Require(values.at("layout").get<std::string>() == "NCHW", "layout is not NCHW");
  Require(values.at("dtype").get<std::string>() == "float32", "dtype is not float32");
  Sidecar sidecar;
  sidecar.arch = values.at("arch").get<std::string>();
  sidecar.input_name = values.at("input_name").get<std::string>();
  sidecar.sha256 = values.at("sha256").get<std::string>();
  sidecar.multiple_of = values.at("multiple_of").get<int>();
  Require(sidecar.multiple_of == kAlign, "multiple_of is not 4");
  const auto range = values.at("range").get<std::vector<float>>();
  Require(range.size() == 2 && range[0] == 0.0F && range[1] > 0.0F, "range is not from 0 to a positive number");
  sidecar.top = range[1];
  const auto shape = values.at("shape").get<std::vector<int>>();
  Require(shape.size() == 4 && shape[0] == 1 && shape[1] == 3, "shape does not start with 1, 3");
  const bool is_open = shape[2] == -1 && shape[3] == -1;
  Require(is_open || (shape[2] > 0 && shape[3] > 0), "height and width must both be -1 or both be positive");
  if (!is_open) {
    Require(shape[2] % kAlign == 0 && shape[3] % kAlign == 0, "height and width are not multiples of 4");
    sidecar.height = shape[2];
    sidecar.width = shape[3];
  }
  return sidecar;
}

}  // namespace

std::string SidecarPath(const std::string& model_path) {
  return std::filesystem::path(model_path).replace_extension(".json").string();
}

Sidecar ReadSidecar(const std::string& model_path) {
  Require(std::filesystem::is_regular_file(model_path), model_path + ": no such file; write one with export.py");
  const std::string path = SidecarPath(model_path);
  std::ifstream file(path);
  if (!file || !std::filesystem::is_regular_file(path)) throw InputError(path + ": missing; export.py writes it beside the model, copy both");
  Sidecar sidecar;
  try {
    sidecar = Parse(json::parse(file));
  } catch (const json::exception& error) {
    throw InputError(path + ": not a model's description (" + error.what() + ")");
  } catch (const InputError& error) {
    throw InputError(path + ": " + error.what());
  }
  if (Sha256OfFile(model_path) != sidecar.sha256) {
    throw InputError(model_path + ": truncated, or not the model that " + path + " describes (sha256 differs)");
  }
  return sidecar;
}

}  // namespace aecrnet
