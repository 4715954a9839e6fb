#include "app.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <map>
#include <system_error>

#include "dehaze.h"
#include "error.h"
#include "latency.h"

namespace aecrnet {
namespace fs = std::filesystem;
namespace {

constexpr int kBenchmarkRuns = 10;

using Clock = std::chrono::steady_clock;

double MillisecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

void MakeOutputFolder(const std::string& path) {
  std::error_code failed;
  fs::create_directories(path, failed);
  const fs::path probe = fs::path(path) / ".aecrnet_infer.probe";
  if (!failed && std::ofstream(probe)) {
    fs::remove(probe, failed);
    return;
  }
  throw InputError("--output " + path + ": cannot write there");
}

// The target NAME.png of every image. Throws if two images have the same name, or if an image would overwrite itself.
std::map<std::string, std::string> OutputPaths(const std::vector<std::string>& images, const std::string& folder) {
  std::map<std::string, std::string> source_of;
  std::map<std::string, std::string> paths;
  for (const std::string& image : images) {
    const std::string path = (fs::path(folder) / fs::path(image).stem()).string() + ".png";
    const auto [other, is_new] = source_of.emplace(path, image);
    if (!is_new) throw InputError(image + ": has the same name as " + other->second + ", both would become " + path);
    std::error_code ignored;
    if (fs::equivalent(image, path, ignored)) throw InputError("--output " + folder + ": would overwrite " + image);
    paths[image] = path;
  }
  return paths;
}

class Runner {
 public:
  Runner(const Options& options, std::ostream& out) : options_(options), out_(out) {}

  void LoadModel(const ModelFactory& load_model) {
    sidecar_ = ReadSidecar(options_.model_path);
    const Clock::time_point start = Clock::now();
    model_ = load_model(options_, sidecar_);
    out_ << options_.model_path << ": arch " << sidecar_.arch << ", loaded in " << MillisecondsSince(start) << " ms\n";
  }

  // Reads, restores and writes one image. With --benchmark, restores it eleven times and measures ten times.
  void Process(const std::string& path, const std::string& output_path) {
    const Image image = ReadImage(path);
    Image restored;
    if (options_.benchmark) restored = Restore(path, image);
    const int runs = options_.benchmark ? kBenchmarkRuns : 1;
    std::vector<double> times;
    for (int i = 0; i < runs; ++i) {
      const Clock::time_point start = Clock::now();
      restored = Restore(path, image);
      times.push_back(MillisecondsSince(start));
    }
    if (!output_path.empty()) WritePng(output_path, restored);
    out_ << path << ' ' << image.width << 'x' << image.height << ' ' << Percentile(times, 50) << " ms"
         << (output_path.empty() ? "" : " -> " + output_path) << std::endl;
    latencies_.insert(latencies_.end(), times.begin(), times.end());
    ++images_;
  }

  void Report(std::size_t failed) const {
    if (images_ > 0) out_ << Summary(latencies_, images_) << '\n';
    out_ << "peak memory MiB: " << PeakMemory() << '\n';
    if (failed > 0) out_ << failed << " of " << failed + images_ << " images could not be used\n";
  }

 private:
  Image Restore(const std::string& path, const Image& image) {
    try {
      return Dehaze(model_.get(), sidecar_, image, options_);
    } catch (const InputError& error) {
      throw InputError(path + ": " + error.what());
    }
  }

  const Options& options_;
  std::ostream& out_;
  Sidecar sidecar_;
  std::unique_ptr<Model> model_;
  std::vector<double> latencies_;
  std::size_t images_ = 0;
};

int Run(const Options& options, const ModelFactory& load_model, std::ostream& out, std::ostream& err) {
  const std::vector<std::string> images = ListImages(options.input);
  std::map<std::string, std::string> output_paths;
  if (!options.output.empty()) {
    MakeOutputFolder(options.output);
    output_paths = OutputPaths(images, options.output);
  }
  out << std::fixed << std::setprecision(1);
  Runner runner(options, out);
  runner.LoadModel(load_model);
  std::size_t failed = 0;
  for (const std::string& image : images) {
    try {
      runner.Process(image, output_paths[image]);
    } catch (const InputError& error) {
      err << "error: " << error.what() << std::endl;
      ++failed;
    } catch (const std::bad_alloc&) {
      err << "error: " << image << ": not enough memory; try --work_size 512" << std::endl;
      ++failed;
    }
  }
  runner.Report(failed);
  return failed == 0 ? 0 : 1;
}

}  // namespace

int RunApp(const std::vector<std::string>& arguments, const ModelFactory& load_model, std::ostream& out,
           std::ostream& err) {
  try {
    const Options options = ParseOptions(arguments);
    if (options.help) {
      out << Usage();
      return 0;
    }
    return Run(options, load_model, out, err);
  } catch (const UsageError& error) {
    err << "error: " << error.what() << std::endl;
    return 2;
  } catch (const std::exception& error) {
    err << "error: " << error.what() << std::endl;
    return 1;
  }
}

}  // namespace aecrnet
