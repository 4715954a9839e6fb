// The program, without MindSpore Lite: tests put a model of their own in.
#ifndef AECRNET_INC_APP_H_
#define AECRNET_INC_APP_H_

#include <ostream>
#include <string>
#include <vector>

#include "model.h"

namespace aecrnet {

// Runs the command line `arguments` (without the program's name): every image of --input through the model into
// --output. An image that cannot be used is named on `err`, the others are done all the same.
// Returns the exit code: 0, 1 (a file, model or device cannot be used), 2 (wrong arguments).
int RunApp(const std::vector<std::string>& arguments, const ModelFactory& load_model, std::ostream& out,
           std::ostream& err);

}  // namespace aecrnet

#endif  // AECRNET_INC_APP_H_
