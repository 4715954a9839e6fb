#include <cmath>

#include "latency.h"
#include "mindir_version.h"
#include "sha256.h"
#include "testing.h"

namespace aecrnet {
namespace {

std::string HashOf(const std::string& text) {
  Sha256 hash;
  hash.Add(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  return hash.Hex();
}

TEST(Sha256, GivesThePublishedExamples) {  // FIPS 180-4 and its NIST examples
  EXPECT_EQ(HashOf(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(HashOf("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(HashOf("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(HashOf(std::string(1000000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Latency, PercentilesAreNumpys) {
  const std::vector<double> values = {4, 1, 3, 2};
  EXPECT_DOUBLE_EQ(Percentile(values, 0), 1);
  EXPECT_DOUBLE_EQ(Percentile(values, 50), 2.5);
  EXPECT_DOUBLE_EQ(Percentile(values, 90), 3.7);
  EXPECT_DOUBLE_EQ(Percentile(values, 100), 4);
  EXPECT_DOUBLE_EQ(Percentile({7}, 99), 7);
}

TEST(Latency, SummaryHoldsMeanMedianAndPercentiles) {
  EXPECT_EQ(Summary({10, 20, 60}, 3),
            "latency ms: images 3 runs 3 mean 30.0 median 20.0 p90 52.0 p99 59.2 min 10.0 max 60.0");
  EXPECT_GT(PeakMemory(), 1.0);
}

TEST(MindirVersion, IsReadBehindOtherFields) {
  const TemporaryFolder folder;
  const std::string graph = std::string("\x3a\xac\x02", 3) + std::string(300, 'g');  // field 7, 300 bytes
  WriteFile(folder / "m",
            "\x0a\x03"
            "1.0" +
                graph +
                "\x50\x01"
                "\x68\x03");
  EXPECT_EQ(MindirVersion(folder / "m"), 3);
}

TEST(MindirVersion, OtherFilesHaveNone) {
  const TemporaryFolder folder;
  EXPECT_EQ(MindirVersion(folder / "none"), 0);
  for (const std::string& text : {std::string(), std::string("text"), std::string(50, '\xff'), std::string(50, '\0')}) {
    WriteFile(folder / "m", text);
    EXPECT_EQ(MindirVersion(folder / "m"), 0);
  }
}

}  // namespace
}  // namespace aecrnet
