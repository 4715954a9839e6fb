#include "latency.h"

#include <algorithm>
#include <cstdio>
#include <numeric>

#include <sys/resource.h>

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
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024.0;
}

}  // namespace aecrnet
