// Which version of the MINDIR format a file is in.
#ifndef AECRNET_INC_MINDIR_VERSION_H_
#define AECRNET_INC_MINDIR_VERSION_H_

#include <string>

namespace aecrnet {

constexpr int kMindirVersionOfLite20 = 1;  // the newest that MindSpore Lite 2.0 reads

// The number in the file's mind_ir_version field; 0 if it has none or the file is not a MINDIR.
int MindirVersion(const std::string& path);

}  // namespace aecrnet

#endif  // AECRNET_INC_MINDIR_VERSION_H_
