// run_raw MODEL.mindir INPUT OUTPUT N,C,H,W: one forward pass in MindSpore Lite on raw float32 files.
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "include/api/context.h"
#include "include/api/model.h"

namespace ms = mindspore;

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  auto context = std::make_shared<ms::Context>();
  context->MutableDeviceInfo().push_back(std::make_shared<ms::CPUDeviceInfo>());
  ms::Model model;
  if (model.Build(std::string(argv[1]), ms::kMindIR, context) != ms::kSuccess) {
    std::cerr << "cannot build " << argv[1] << '\n';
    return 1;
  }
  std::vector<std::int64_t> shape;
  std::istringstream sides(argv[4]);
  for (std::string side; std::getline(sides, side, ',');) shape.push_back(std::stoll(side));
  if (model.GetInputs().at(0).Shape() != shape && model.Resize(model.GetInputs(), {shape}) != ms::kSuccess) {
    std::cerr << "cannot resize " << argv[1] << '\n';
    return 1;
  }
  std::vector<ms::MSTensor> inputs = model.GetInputs();
  std::ifstream file(argv[2], std::ios::binary);
  file.read(static_cast<char*>(inputs[0].MutableData()), static_cast<std::streamsize>(inputs[0].DataSize()));
  std::vector<ms::MSTensor> outputs;
  if (!file || model.Predict(inputs, &outputs) != ms::kSuccess) {
    std::cerr << "cannot run " << argv[1] << '\n';
    return 1;
  }
  std::ofstream(argv[3], std::ios::binary)
      .write(static_cast<const char*>(outputs[0].Data().get()), static_cast<std::streamsize>(outputs[0].DataSize()));
  return 0;
}
