// Mistakes of the user, reported in one line.
#ifndef AECRNET_INC_ERROR_H_
#define AECRNET_INC_ERROR_H_

#include <stdexcept>
#include <string>

namespace aecrnet {

// A file, model or device that cannot be used. Exit code 1.
class InputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A flag that is unknown, missing or of the wrong type. Exit code 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace aecrnet

#endif  // AECRNET_INC_ERROR_H_
