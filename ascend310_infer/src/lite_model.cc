// The network in MindSpore Lite, on CPU or Ascend 310.
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "include/api/context.h"
#include "include/api/model.h"
#include "include/api/status.h"
#include "include/api/types.h"

#include "error.h"
#include "mindir_version.h"
#include "model.h"

namespace aecrnet {
namespace {

namespace ms = mindspore;

std::shared_ptr<ms::Context> MakeContext(const Options& options) {
  auto context = std::make_shared<ms::Context>();
  context->SetThreadNum(options.threads);
  if (options.device_target == "CPU") {
    context->MutableDeviceInfo().push_back(std::make_shared<ms::CPUDeviceInfo>());
    return context;
  }
  auto device = std::make_shared<ms::AscendDeviceInfo>();
  device->SetDeviceID(static_cast<std::uint32_t>(options.device_id));
  // the default, half precision, cannot represent the pixel numbers of the deformable convolution
  device->SetPrecisionMode("enforce_origin");
  context->MutableDeviceInfo().push_back(device);
  return context;
}

// The reason why Build failed. Lite's own report does not help a user.
std::string Diagnosis(const Options& options) {
  if (options.device_target != "CPU") {
    const std::string card = "/dev/davinci" + std::to_string(options.device_id);
    if (!std::filesystem::exists(card))
      return "no Ascend card " + std::to_string(options.device_id) + " here (" + card + " is missing)";
    if (std::getenv("ASCEND_HOME_PATH") == nullptr && !std::filesystem::exists("/usr/local/Ascend")) {
      return "CANN is not set up (source its set_env.sh first)";
    }
    return "MindSpore Lite cannot build it for Ascend 310 card " + std::to_string(options.device_id) +
           "; GLOG_v=2 shows its messages";
  }
  const int version = MindirVersion(options.model_path);
  if (version > kMindirVersionOfLite20) {
    return "is MINDIR version " + std::to_string(version) +
           ", too new for this MindSpore Lite"
           ": write one for it with export.py --lite2 and use the file that ends in _lite20.mindir";
  }
  return "MindSpore Lite cannot load it; GLOG_v=2 shows its messages";
}

std::string Text(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t side : shape) text += (text.empty() ? "" : "x") + std::to_string(side);
  return text;
}

class LiteModel : public Model {
 public:
  LiteModel(const Options& options, const Sidecar& sidecar) {
    if (options.device_target != "CPU" && sidecar.is_dynamic()) {
      throw InputError(options.model_path +
                       ": has an open size, Ascend310 needs a fixed one; export it with "
                       "--image_height and --image_width");
    }
    const ms::Status status = model_.Build(options.model_path, ms::kMindIR, MakeContext(options));
    if (status != ms::kSuccess) throw InputError(options.model_path + ": " + Diagnosis(options));
    const std::vector<ms::MSTensor> inputs = model_.GetInputs();
    const std::vector<std::int64_t> expected = {1, 3, sidecar.is_dynamic() ? -1 : sidecar.height,
                                                sidecar.is_dynamic() ? -1 : sidecar.width};
    if (inputs.size() != 1 || inputs[0].Name() != sidecar.input_name ||
        inputs[0].DataType() != ms::DataType::kNumberTypeFloat32 || inputs[0].Shape() != expected) {
      throw InputError(options.model_path + ": its input is not the float32 " + Text(expected) + " \"" +
                       sidecar.input_name + "\" that " + SidecarPath(options.model_path) + " describes");
    }
    shape_ = expected;
  }

  Tensor Run(const Tensor& input) override {
    Resize({1, 3, input.height, input.width});
    std::vector<ms::MSTensor> inputs = model_.GetInputs();
    const std::size_t bytes = input.data.size() * sizeof(float);
    if (inputs[0].DataSize() != bytes) throw InputError("MindSpore Lite did not take the size " + Text(shape_));
    void* to = inputs[0].MutableData();
    if (to == nullptr) throw InputError("MindSpore Lite has no memory for an input of " + Text(shape_));
    std::memcpy(to, input.data.data(), bytes);
    std::vector<ms::MSTensor> outputs;
    if (model_.Predict(inputs, &outputs) != ms::kSuccess) {
      throw InputError("MindSpore Lite failed at " + Text(shape_) + "; GLOG_v=2 shows its messages");
    }
    if (outputs.size() != 1 || outputs[0].DataSize() != bytes || outputs[0].Data() == nullptr) {
      throw InputError("the model's output is not of its input's size " + Text(shape_));
    }
    Tensor output(input.height, input.width);
    std::memcpy(output.data.data(), outputs[0].Data().get(), bytes);
    return output;
  }

 private:
  void Resize(const std::vector<std::int64_t>& shape) {
    if (shape == shape_) return;
    if (model_.Resize(model_.GetInputs(), {shape}) != ms::kSuccess) {
      throw InputError("MindSpore Lite cannot change the model's input to " + Text(shape));
    }
    shape_ = shape;
  }

  ms::Model model_;
  std::vector<std::int64_t> shape_;
};

}  // namespace

std::unique_ptr<Model> LoadLiteModel(const Options& options, const Sidecar& sidecar) {
  return std::make_unique<LiteModel>(options, sidecar);
}

}  // namespace aecrnet
