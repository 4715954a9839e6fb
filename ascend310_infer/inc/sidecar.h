// What export.py says about the model that it wrote: M.json beside M.mindir.
//
//   {"format": 1,                    of this file; another one is refused
//    "arch": "gitee",                or "paper"
//    "input_name": "x",
//    "layout": "NCHW",               RGB, n = 1
//    "dtype": "float32",
//    "shape": [1, 3, 480, 640],      or [1, 3, -1, -1]: height and width may change from call to call
//    "range": [0, 255],              of input and output; [0, 1] for arch paper
//    "mean": [149.8, 152.5, 162.7],  or null: which colour the graph subtracts by itself; consumers need not
//    "clip": "in_graph",             or "consumer": who cuts the output to the range (this program always does)
//    "multiple_of": 4,               both sides
//    "sha256": "9f86..."}            of M.mindir
//
// Keys that are not listed are ignored.
#ifndef AECRNET_INC_SIDECAR_H_
#define AECRNET_INC_SIDECAR_H_

#include <string>

namespace aecrnet {

struct Sidecar {
  std::string arch;
  std::string input_name;
  int height = 0;  // 0: open
  int width = 0;
  float top = 0.0F;  // values run from 0 to this
  int multiple_of = 1;
  std::string sha256;

  bool is_dynamic() const { return height == 0; }
};

// M.json for M.mindir.
std::string SidecarPath(const std::string& model_path);

// Reads the description of a model and checks that it is of that very file.
// Throws InputError naming the file that is missing or wrong, and what to do.
Sidecar ReadSidecar(const std::string& model_path);

}  // namespace aecrnet

#endif  // AECRNET_INC_SIDECAR_H_
