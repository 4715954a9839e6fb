// The interface of a network.
#ifndef AECRNET_INC_MODEL_H_
#define AECRNET_INC_MODEL_H_

#include <functional>
#include <memory>

#include "options.h"
#include "sidecar.h"
#include "tensor.h"

namespace aecrnet {

class Model {
 public:
  Model() = default;
  virtual ~Model() = default;
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  // One forward pass; the result has the input's size. Throws InputError.
  virtual Tensor Run(const Tensor& input) = 0;
};

using ModelFactory = std::function<std::unique_ptr<Model>(const Options&, const Sidecar&)>;

// The model in MindSpore Lite. Throws InputError if this Lite or this machine cannot load it, and says why.
std::unique_ptr<Model> LoadLiteModel(const Options& options, const Sidecar& sidecar);

}  // namespace aecrnet

#endif  // AECRNET_INC_MODEL_H_
