// run_same: the program with a model that returns its input, instead of MindSpore Lite.
#include <iostream>
#include <memory>

#include "app.h"

namespace {

class Same : public aecrnet::Model {
 public:
  aecrnet::Tensor Run(const aecrnet::Tensor& input) override { return input; }
};

std::unique_ptr<aecrnet::Model> Load(const aecrnet::Options&, const aecrnet::Sidecar&) {
  return std::make_unique<Same>();
}

}  // namespace

int main(int argc, char** argv) { return aecrnet::RunApp({argv + 1, argv + argc}, Load, std::cout, std::cerr); }
