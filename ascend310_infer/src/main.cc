#include <cstdlib>
#include <iostream>

#include <unistd.h>

#include "app.h"

int main(int argc, char** argv) {
  // MindSpore Lite reads its log level before main, when it is loaded. The program therefore starts itself again with a
  // level that hides Lite's own messages.
  if (std::getenv("GLOG_v") == nullptr) {
    setenv("GLOG_v", "4", 1);
    execv("/proc/self/exe", argv);
  }
  return aecrnet::RunApp({argv + 1, argv + argc}, aecrnet::LoadLiteModel, std::cout, std::cerr);
}
