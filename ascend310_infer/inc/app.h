// The program without MindSpore Lite, so that tests can use their own models.
#ifndef AECRNET_INC_APP_H_
#define AECRNET_INC_APP_H_

#include <ostream>
#include <string>
#include <vector>

#include "model.h"

namespace aecrnet {

// Runs the command line `arguments` (without the program's name): restores every image of --input into --output. An
// image that cannot be used is named on `err`, and the others are restored all the same.
// Returns the exit code: 0, 1 (a file, model or device cannot be used) or 2 (wrong arguments).
int RunApp(const std::vector<std::string>& arguments, const ModelFactory& load_model, std::ostream& out,
           std::ostream& err);

}  // namespace aecrnet

#endif  // AECRNET_INC_APP_H_
