#include "app.h"

#include <sstream>

#include <unistd.h>

#include "error.h"
#include "sha256.h"
#include "testing.h"

namespace aecrnet {
namespace {

namespace fs = std::filesystem;

class Identity : public Model {
 public:
  Tensor Run(const Tensor& input) override { return input; }
};

class Failing : public Model {
 public:
  Tensor Run(const Tensor&) override { throw InputError("the device is gone"); }
};

class AppTest : public testing::Test {
 protected:
  AppTest() {
    WriteFile(folder_ / "m.mindir", "a model");
    WriteFile(folder_ / "m.json", R"({"format": 1, "arch": "paper", "input_name": "x", "layout": "NCHW",
        "dtype": "float32", "shape": [1, 3, -1, -1], "range": [0, 1], "multiple_of": 4, "sha256": ")" +
                                      Sha256OfFile(folder_ / "m.mindir") + "\"}");
    fs::create_directory(folder_ / "in");
  }

  template <typename M = Identity>
  int Run(const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {"--model_path=" + (folder_ / "m.mindir"), "--input=" + (folder_ / "in"),
                                          "--output=" + (folder_ / "out")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return RunArguments<M>(arguments);
  }
  template <typename M = Identity>
  int RunArguments(const std::vector<std::string>& arguments) {
    out_.str("");
    err_.str("");
    return RunApp(arguments, [](const Options&, const Sidecar&) { return std::make_unique<M>(); }, out_, err_);
  }

  TemporaryFolder folder_;
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(AppTest, WritesEveryImageAndReportsLatency) {
  WritePng(folder_ / "in/a.png", TestImage(18, 21));
  WritePng(folder_ / "in/b.png", TestImage(30, 16));
  EXPECT_EQ(Run(), 0) << err_.str();
  EXPECT_EQ(ReadImage(folder_ / "out/a.png").rgb, TestImage(18, 21).rgb);
  EXPECT_EQ(ReadImage(folder_ / "out/b.png").rgb, TestImage(30, 16).rgb);
  EXPECT_NE(out_.str().find("in/a.png 21x18 "), std::string::npos);
  EXPECT_NE(out_.str().find("latency ms: images 2 runs 2 mean "), std::string::npos);
  EXPECT_NE(out_.str().find("peak memory MiB: "), std::string::npos);
  EXPECT_EQ(err_.str(), "");
}

TEST_F(AppTest, BrokenImageIsNamedAndTheOthersAreDone) {
  WritePng(folder_ / "in/a.png", TestImage(18, 21));
  WriteFile(folder_ / "in/b.jpg", "\xff\xd8\xff broken");
  WritePng(folder_ / "in/c.png", TestImage(18, 21));
  EXPECT_EQ(Run(), 1);
  EXPECT_TRUE(fs::exists(folder_ / "out/a.png"));
  EXPECT_TRUE(fs::exists(folder_ / "out/c.png"));
  EXPECT_FALSE(fs::exists(folder_ / "out/b.png"));
  EXPECT_EQ(err_.str().rfind("error: " + (folder_ / "in/b.jpg") + ": broken JPEG: ", 0), 0U) << err_.str();
  EXPECT_NE(out_.str().find("1 of 3 images could not be used"), std::string::npos);
}

TEST_F(AppTest, FailingModelNamesTheImage) {
  WritePng(folder_ / "in/a.png", TestImage(18, 21));
  EXPECT_EQ(Run<Failing>(), 1);
  EXPECT_EQ(err_.str(), "error: " + (folder_ / "in/a.png") + ": the device is gone\n");
}

TEST_F(AppTest, BenchmarkMeasuresTenRunsAndNeedsNoOutput) {
  WritePng(folder_ / "in/a.png", TestImage(18, 21));
  EXPECT_EQ(RunArguments({"--model_path", folder_ / "m.mindir", "--input", folder_ / "in", "--benchmark"}), 0);
  EXPECT_NE(out_.str().find("latency ms: images 1 runs 10 mean "), std::string::npos);
}

TEST_F(AppTest, NoImagesAndNoModelAreErrors) {
  EXPECT_EQ(Run(), 1);
  EXPECT_EQ(err_.str(), "error: " + (folder_ / "in") + ": no images (.png, .jpg, .jpeg)\n");
  WritePng(folder_ / "in/a.png", TestImage(18, 21));
  fs::remove(folder_ / "m.mindir");
  EXPECT_EQ(Run(), 1);
  EXPECT_EQ(err_.str(), "error: " + (folder_ / "m.mindir") + ": no such file; write one with export.py\n");
}

TEST_F(AppTest, OutputThatCannotBeWrittenIsAnErrorBeforeAnyWork) {
  WritePng(folder_ / "in/a.png", TestImage(18, 21));
  WriteFile(folder_ / "out", "a file where the folder should be");
  EXPECT_EQ(Run<Failing>(), 1);
  EXPECT_EQ(err_.str(), "error: --output " + (folder_ / "out") + ": cannot write there\n");
}

TEST_F(AppTest, NoInputIsOverwritten) {
  WritePng(folder_ / "in/a.png", TestImage(18, 21));
  EXPECT_EQ(RunArguments({"--model_path", folder_ / "m.mindir", "--input", folder_ / "in", "--output", folder_ / "in"}),
            1);
  EXPECT_EQ(err_.str(), "error: --output " + (folder_ / "in") + ": would overwrite " + (folder_ / "in/a.png") + "\n");
}

TEST_F(AppTest, TwoImagesOfOneNameAreRefused) {
  WritePng(folder_ / "in/a.png", TestImage(18, 21));
  WriteFile(folder_ / "in/a.jpg", "x");
  EXPECT_EQ(Run(), 1);
  EXPECT_EQ(err_.str(), "error: " + (folder_ / "in/a.png") + ": has the same name as " + (folder_ / "in/a.jpg") +
                            ", both would become " + (folder_ / "out/a.png") + "\n");
}

TEST_F(AppTest, DeepImagesKeepTheirBits) {
  WritePng(folder_ / "in/a.png", TestImage16(18, 21));
  EXPECT_EQ(Run({"--strength", "0"}), 0) << err_.str();
  EXPECT_EQ(ReadImage(folder_ / "out/a.png").rgb, TestImage16(18, 21).rgb);
}

TEST_F(AppTest, WrongArgumentsExitWith2) {
  EXPECT_EQ(Run({"--tile", "100"}), 2);
  EXPECT_EQ(err_.str().rfind("error: --tile: must be at least 148", 0), 0U);
  EXPECT_EQ(RunArguments({"--help"}), 0);
  EXPECT_NE(out_.str().find("--model_path"), std::string::npos);
}

}  // namespace
}  // namespace aecrnet
