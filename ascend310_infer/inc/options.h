// The command line of aecrnet_infer.
#ifndef AECRNET_INC_OPTIONS_H_
#define AECRNET_INC_OPTIONS_H_

#include <string>
#include <vector>

namespace aecrnet {

// One output pixel of the network depends on 72 pixels to each side (src/network/aecrnet.py: 7x7, 3x3 and two strided
// convolutions, twelve 3x3 and two deformable ones at a quarter of the size, and back up). Offsets and the mean of the
// channel attention are not counted. In a smaller tile, no pixel sees all the pixels that it depends on.
constexpr int kReceptiveField = 2 * 72 + 1;

struct Options {
  std::string model_path;
  std::string input;   // a PNG or JPEG file, or a folder of them
  std::string output;  // folder; is created if it is missing
  std::string device_target = "CPU";
  int device_id = 0;
  int threads = 2;
  int work_size = 0;      // pixels of the longer side of what the network sees; 0: automatic, -1: full resolution
  float strength = 1.0F;  // how much of the change to apply, 0..1
  int tile = 0;           // pixels; 0: automatic, -1: no tiles
  int overlap = 64;
  bool benchmark = false;
  bool help = false;
};

// Reads the arguments after the program's name.
// Throws UsageError naming the flag that is unknown, missing, repeated or has a wrong value.
Options ParseOptions(const std::vector<std::string>& arguments);

std::string Usage();

}  // namespace aecrnet

#endif  // AECRNET_INC_OPTIONS_H_
