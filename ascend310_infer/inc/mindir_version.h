// The version of the MINDIR format of a file.
#ifndef AECRNET_INC_MINDIR_VERSION_H_
#define AECRNET_INC_MINDIR_VERSION_H_

#include <string>

namespace aecrnet {

constexpr int kMindirVersionOfLite20 = 1;  // the newest version that MindSpore Lite 2.0 reads

// The field mind_ir_version of the file. 0 if the file has no such field or is not a MINDIR.
int MindirVersion(const std::string& path);

}  // namespace aecrnet

#endif  // AECRNET_INC_MINDIR_VERSION_H_
