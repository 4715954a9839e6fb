#include "options.h"

#include "error.h"
#include "testing.h"

namespace aecrnet {
namespace {

std::vector<std::string> With(std::vector<std::string> more) {
  std::vector<std::string> all = {"--model_path", "m.mindir", "--input", "in", "--output", "out"};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

std::string ErrorOf(std::vector<std::string> more) {
  return MessageOf<UsageError>([&] { ParseOptions(With(std::move(more))); });
}

TEST(Options, ReadsEveryFlagInBothForms) {
  const Options options =
      ParseOptions({"--model_path=m.mindir", "--input", "in", "--output=a=b", "--device_target", "Ascend310",
                    "--device_id", "3", "--threads=4", "--work_size", "640", "--strength=0.25", "--tile", "256", "--overlap",
                    "64", "--benchmark"});
  EXPECT_EQ(options.model_path, "m.mindir");
  EXPECT_EQ(options.input, "in");
  EXPECT_EQ(options.output, "a=b");
  EXPECT_EQ(options.device_target, "Ascend310");
  EXPECT_EQ(options.device_id, 3);
  EXPECT_EQ(options.threads, 4);
  EXPECT_EQ(options.work_size, 640);
  EXPECT_EQ(options.strength, 0.25F);
  EXPECT_EQ(options.tile, 256);
  EXPECT_EQ(options.overlap, 64);
  EXPECT_TRUE(options.benchmark);
}

TEST(Options, DefaultsAreAutomaticSizesAndFullStrengthOnCpu) {
  const Options options = ParseOptions(With({}));
  EXPECT_EQ(options.device_target, "CPU");
  EXPECT_EQ(options.device_id, 0);
  EXPECT_EQ(options.threads, 2);
  EXPECT_EQ(options.work_size, 0);
  EXPECT_EQ(options.strength, 1.0F);
  EXPECT_EQ(options.tile, 0);
  EXPECT_EQ(options.overlap, 64);
  EXPECT_FALSE(options.benchmark);
}

TEST(Options, HelpNeedsNothingElse) {
  EXPECT_TRUE(ParseOptions({"--help"}).help);
  EXPECT_NE(Usage().find("--device_target"), std::string::npos);
}

TEST(Options, NamesTheMissingFlag) {
  EXPECT_EQ(MessageOf<UsageError>([] { ParseOptions({"--input", "x"}); }), "--model_path: missing; see --help");
  EXPECT_EQ(MessageOf<UsageError>([] { ParseOptions({"--model_path", "x"}); }), "--input: missing; see --help");
  EXPECT_EQ(MessageOf<UsageError>([] { ParseOptions({"--model_path", "x", "--input", "y"}); }),
            "--output: missing (only --benchmark does without); see --help");
  EXPECT_TRUE(ParseOptions({"--model_path", "x", "--input", "y", "--benchmark"}).benchmark);
}

TEST(Options, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(ErrorOf({"--tiles", "3"}), "--tiles: unknown argument; see --help");
  EXPECT_EQ(ErrorOf({"stray"}), "stray: unknown argument; see --help");
  EXPECT_EQ(ErrorOf({"--benchmark=1"}), "--benchmark=1: unknown argument; see --help");
  EXPECT_EQ(ErrorOf({"--input", "again"}), "--input: given twice");
  EXPECT_EQ(ErrorOf({"--device_target", "GPU"}), "--device_target: must be CPU or Ascend310, not GPU");
}

TEST(Options, RefusesWrongNumbers) {
  EXPECT_EQ(ErrorOf({"--threads", "0"}), "--threads: must be a whole number from 1 to 1024, not 0");
  EXPECT_EQ(ErrorOf({"--threads", "2x"}), "--threads: must be a whole number from 1 to 1024, not 2x");
  EXPECT_EQ(ErrorOf({"--device_id", "-1"}), "--device_id: must be a whole number from 0 to 4095, not -1");
  EXPECT_EQ(ErrorOf({"--tile", "99999999999"}), "--tile: must be a whole number from -1 to 1048576, not 99999999999");
  EXPECT_EQ(ErrorOf({"--threads"}), "--threads: needs a value");
  EXPECT_EQ(ErrorOf({"--threads="}), "--threads: needs a value");
}

TEST(Options, RefusesWorkSizesThatTheNetworkCannotUse) {
  const std::string rule = "--work_size: must be a multiple of 4 from 64 on, 0 (automatic) or -1 (full resolution), not ";
  EXPECT_EQ(ErrorOf({"--work_size", "60"}), rule + "60");
  EXPECT_EQ(ErrorOf({"--work_size", "514"}), rule + "514");
  EXPECT_EQ(ErrorOf({"--work_size", "-2"}), "--work_size: must be a whole number from -1 to 1048576, not -2");
  EXPECT_EQ(ParseOptions(With({"--work_size", "64"})).work_size, 64);
  EXPECT_EQ(ParseOptions(With({"--work_size", "-1"})).work_size, -1);
}

TEST(Options, RefusesStrengthsOutside0To1) {
  for (const std::string value : {"-0.1", "1.01", "nan", "0.5x", "half", "0,5"}) {
    EXPECT_EQ(ErrorOf({"--strength", value}), "--strength: must be from 0 to 1, not " + value);
  }
  EXPECT_EQ(ParseOptions(With({"--strength", "0"})).strength, 0.0F);
  EXPECT_EQ(ParseOptions(With({"--strength", "1"})).strength, 1.0F);
}

TEST(Options, RefusesTilesThatTheNetworkCannotUse) {
  EXPECT_EQ(
      ErrorOf({"--tile", "144"}),
      "--tile: must be at least 148 (a pixel depends on 145 pixels across), 0 (automatic) or -1 (never), not 144");
  EXPECT_EQ(ErrorOf({"--tile", "202"}), "--tile: must be a multiple of 4, not 202");
  EXPECT_EQ(ErrorOf({"--tile", "200", "--overlap", "185"}), "--overlap: must be at most 184 for tiles of 200, not 185");
  EXPECT_EQ(ErrorOf({"--overlap", "497"}), "--overlap: must be at most 496 for tiles of 512, not 497");
  EXPECT_EQ(ParseOptions(With({"--tile", "-1"})).tile, -1);
  EXPECT_EQ(ParseOptions(With({"--tile", "148"})).tile, 148);
}

}  // namespace
}  // namespace aecrnet
