#include "sidecar.h"

#include <nlohmann/json.hpp>

#include "error.h"
#include "sha256.h"
#include "testing.h"

namespace aecrnet {
namespace {

class SidecarTest : public testing::Test {
 protected:
  SidecarTest() {
    WriteFile(model_, "a model");
    values_ = {{"format", 1},
               {"arch", "gitee"},
               {"input_name", "x"},
               {"layout", "NCHW"},
               {"dtype", "float32"},
               {"shape", {1, 3, 480, 640}},
               {"range", {0, 255}},
               {"mean", nullptr},
               {"clip", "in_graph"},
               {"multiple_of", 4},
               {"sha256", Sha256OfFile(model_)}};
  }

  Sidecar Read() {
    WriteFile(folder_ / "m.json", values_.dump());
    return ReadSidecar(model_);
  }
  std::string ErrorOfRead() {
    return MessageOf<InputError>([&] { Read(); });
  }

  TemporaryFolder folder_;
  std::string model_ = folder_ / "m.mindir";
  nlohmann::json values_;
};

TEST_F(SidecarTest, DescribesAFixedSize) {
  const Sidecar sidecar = Read();
  EXPECT_EQ(sidecar.arch, "gitee");
  EXPECT_EQ(sidecar.input_name, "x");
  EXPECT_EQ(sidecar.height, 480);
  EXPECT_EQ(sidecar.width, 640);
  EXPECT_EQ(sidecar.top, 255.0F);
  EXPECT_EQ(sidecar.multiple_of, 4);
  EXPECT_FALSE(sidecar.is_dynamic());
}

TEST_F(SidecarTest, DescribesAnOpenSize) {
  values_["shape"] = {1, 3, -1, -1};
  values_["range"] = {0, 1};
  const Sidecar sidecar = Read();
  EXPECT_TRUE(sidecar.is_dynamic());
  EXPECT_EQ(sidecar.top, 1.0F);
}

TEST_F(SidecarTest, RefusesWhatTheProgramCannotServe) {
  const std::string json = folder_ / "m.json: ";
  const std::vector<std::tuple<std::string, nlohmann::json, std::string>> cases = {
      {"format", 2, json + "format is not 1: written by another version of export.py"},
      {"layout", "NHWC", json + "layout is not NCHW"},
      {"dtype", "float16", json + "dtype is not float32"},
      {"shape", {2, 3, 4, 4}, json + "shape does not start with 1, 3"},
      {"shape", {1, 3, -1, 4}, json + "height and width must both be -1 or both be positive"},
      {"range", {-1, 1}, json + "range is not from 0 to a positive number"},
      {"shape", {1, 3, 480, 650}, json + "height and width are not multiples of 4"},
      {"multiple_of", 8, json + "multiple_of is not 4"},
  };
  for (const auto& [key, value, message] : cases) {
    const nlohmann::json good = values_[key];
    values_[key] = value;
    EXPECT_EQ(ErrorOfRead(), message);
    values_[key] = good;
  }
}

TEST_F(SidecarTest, NamesWhatIsMissing) {
  EXPECT_EQ(MessageOf<InputError>([&] { ReadSidecar(folder_ / "no.mindir"); }),
            folder_ / "no.mindir: no such file; write one with export.py");
  EXPECT_EQ(MessageOf<InputError>([&] { ReadSidecar(model_); }),
            folder_ / "m.json: missing; export.py writes it beside the model, copy both");
  values_.erase("range");
  EXPECT_NE(ErrorOfRead().find("m.json: not a model's description"), std::string::npos);
  WriteFile(folder_ / "m.json", "{\"format\": ");
  EXPECT_NE(MessageOf<InputError>([&] { ReadSidecar(model_); }).find("m.json: not a model's description"),
            std::string::npos);
}

TEST_F(SidecarTest, RefusesATruncatedModel) {
  Read();
  WriteFile(model_, "a mode");
  EXPECT_EQ(ErrorOfRead(),
            model_ + ": truncated, or not the model that " + (folder_ / "m.json") + " describes (sha256 differs)");
}

}  // namespace
}  // namespace aecrnet
