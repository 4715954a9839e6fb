#include "work_size.h"

#include <ostream>

#include "testing.h"

namespace aecrnet {

void PrintTo(const Size& size, std::ostream* out) { *out << size.height << 'x' << size.width; }

namespace {

Sidecar Fixed(int height, int width) {
  Sidecar sidecar;
  sidecar.height = height;
  sidecar.width = width;
  return sidecar;
}

TEST(WorkSize, AutomaticallyAtMost800UpToAMegapixelAnd512Above) {
  EXPECT_EQ(SeenSize({800, 799}, 0, Sidecar()), (Size{800, 799}));
  EXPECT_EQ(SeenSize({326, 1000}, 0, Sidecar()), (Size{326, 1000}));
  EXPECT_EQ(SeenSize({720, 1280}, 0, Sidecar()), (Size{448, 800}));
  EXPECT_EQ(SeenSize({1000, 1000}, 0, Sidecar()), (Size{800, 800}));
  EXPECT_EQ(SeenSize({1001, 1000}, 0, Sidecar()), (Size{512, 512}));
  EXPECT_EQ(SeenSize({3000, 4000}, 0, Sidecar()), (Size{384, 512}));
}

TEST(WorkSize, TheLongerSideIsWhatIsAskedInMultiplesOf4) {
  EXPECT_EQ(SeenSize({333, 500}, 64, Sidecar()), (Size{44, 64}));
  EXPECT_EQ(SeenSize({501, 334}, 200, Sidecar()), (Size{200, 132}));
  EXPECT_EQ(SeenSize({100, 90}, 128, Sidecar()), (Size{100, 90}));
}

TEST(WorkSize, FullResolutionIsNeverShrunk) {
  EXPECT_EQ(SeenSize({3000, 4000}, -1, Sidecar()), (Size{3000, 4000}));
  EXPECT_EQ(SeenSize({3000, 4000}, -1, Fixed(64, 64)), (Size{3000, 4000}));
}

TEST(WorkSize, PanoramasKeepTheirShorterSide) {
  EXPECT_EQ(SeenSize({1000, 8000}, 512, Sidecar()), (Size{256, 2048}));
  EXPECT_EQ(SeenSize({200, 8000}, 512, Sidecar()), (Size{200, 8000}));
}

TEST(WorkSize, AModelOfFixedSizeSeesThePhotoAsLargeAsItFits) {
  EXPECT_EQ(SeenSize({3000, 4000}, 0, Fixed(480, 640)), (Size{480, 640}));
  EXPECT_EQ(SeenSize({4000, 3000}, 0, Fixed(480, 640)), (Size{480, 360}));
  EXPECT_EQ(SeenSize({480, 640}, 0, Fixed(480, 640)), (Size{480, 640}));
  EXPECT_EQ(SeenSize({300, 400}, 0, Fixed(480, 640)), (Size{300, 400}));
  EXPECT_EQ(SeenSize({100, 40000}, 0, Fixed(480, 640)), (Size{4, 640}));
}

}  // namespace
}  // namespace aecrnet
