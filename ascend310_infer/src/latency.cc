#include "latency.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <numeric>

namespace aecrnet {

double Percentile(std::vector<double> values, double percent) {
  std::sort(values.begin(), values.end());
  const double place = percent / 100.0 * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (place - static_cast<double>(below)) * (values[above] - values[below]);
}

std::string Summary(const std::vector<double>& milliseconds, std::size_t images) {
  const double sum = std::accumulate(milliseconds.begin(), milliseconds.end(), 0.0);
  char text[200];
  std::snprintf(text, sizeof(text),
                "latency ms: images %zu runs %zu mean %.1f median %.1f p90 %.1f p99 %.1f min %.1f max %.1f", images,
                milliseconds.size(), sum / static_cast<double>(milliseconds.size()), Percentile(milliseconds, 50),
                Percentile(milliseconds, 90), Percentile(milliseconds, 99), Percentile(milliseconds, 0),
                Percentile(milliseconds, 100));
  return text;
}

double PeakMemory() {
  // not getrusage, which includes the memory of the parent process
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::stod(line.substr(6)) / 1024.0;
  }
  return 0.0;
}

}  // namespace aecrnet
