// Statistics of a list of durations.
#ifndef AECRNET_INC_LATENCY_H_
#define AECRNET_INC_LATENCY_H_

#include <string>
#include <vector>

namespace aecrnet {

// The value below which `percent` of the values lie, with linear interpolation as in numpy's percentile. `values` must
// not be empty.
double Percentile(std::vector<double> values, double percent);

// "latency ms: images 3 runs 30 mean 12.1 median 12.0 p90 12.9 p99 13.3 min 11.5 max 13.4".
std::string Summary(const std::vector<double>& milliseconds, std::size_t images);

// Peak resident memory of this process, in MiB.
double PeakMemory();

}  // namespace aecrnet

#endif  // AECRNET_INC_LATENCY_H_
