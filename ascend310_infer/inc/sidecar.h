// The description that export.py writes for a model: M.json beside M.mindir.
//
//   {"format": 1,                    of this file; other formats are refused
//    "arch": "gitee",                or "paper"
//    "input_name": "x",
//    "layout": "NCHW",               RGB, n = 1
//    "dtype": "float32",
//    "shape": [1, 3, 480, 640],      or [1, 3, -1, -1]: height and width may change from call to call
//    "range": [0, 255],              of input and output; [0, 1] for arch paper
//    "mean": [149.8, 152.5, 162.7],  or null: the colour that the graph itself subtracts; a program must not
//    "clip": "in_graph",             or "consumer": who clips the output to the range (this program always does)
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
  float top = 0.0F;  // values are from 0 to `top`
  int multiple_of = 1;
  std::string sha256;

  bool is_dynamic() const { return height == 0; }
};

// The path M.json for M.mindir.
std::string SidecarPath(const std::string& model_path);

// Reads the description of a model and checks that it describes exactly this file.
// Throws InputError naming the missing or wrong file, and the remedy.
Sidecar ReadSidecar(const std::string& model_path);

}  // namespace aecrnet

#endif  // AECRNET_INC_SIDECAR_H_
