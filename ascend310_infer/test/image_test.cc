#include "image.h"

#include <algorithm>
#include <cstdio>

#include <jpeglib.h>
#include <png.h>

#include "error.h"
#include "testing.h"

namespace aecrnet {
namespace {

namespace fs = std::filesystem;

std::string ErrorOf(const std::string& path) {
  return MessageOf<InputError>([&] { ReadImage(path); });
}

std::string Jpeg(const Image& image) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* data = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &data, &size);
  info.image_width = static_cast<JDIMENSION>(image.width);
  info.image_height = static_cast<JDIMENSION>(image.height);
  info.input_components = 3;
  info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 100, TRUE);
  jpeg_start_compress(&info, TRUE);
  std::vector<std::uint8_t> pixels(image.rgb.begin(), image.rgb.end());
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = &pixels[std::size_t{info.next_scanline} * info.image_width * 3];
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  const std::string file(reinterpret_cast<char*>(data), size);
  std::free(data);
  return file;
}

TEST(Png, WhatIsWrittenIsRead) {
  const TemporaryFolder folder;
  Image image = TestImage(17, 31);
  WritePng(folder / "rgb.png", image);
  const Image rgb = ReadImage(folder / "rgb.png");
  EXPECT_EQ(rgb.rgb, image.rgb);
  EXPECT_TRUE(rgb.alpha.empty());
  for (std::size_t i = 0; i < image.pixels(); ++i) image.alpha.push_back(static_cast<std::uint16_t>(i % 256));
  WritePng(folder / "rgba.png", image);
  const Image rgba = ReadImage(folder / "rgba.png");
  EXPECT_EQ(rgba.height, 17);
  EXPECT_EQ(rgba.width, 31);
  EXPECT_EQ(rgba.rgb, image.rgb);
  EXPECT_EQ(rgba.alpha, image.alpha);
}

TEST(Png, GreynessIsKept) {
  const TemporaryFolder folder;
  Image image = TestImage(16, 16);
  image.is_grey = true;
  image.rgb[0] = 200, image.rgb[1] = 100, image.rgb[2] = 50;  // ITU-R 601 luma 124.2
  WritePng(folder / "grey.png", image);
  const Image grey = ReadImage(folder / "grey.png");
  EXPECT_TRUE(grey.is_grey);
  EXPECT_TRUE(grey.alpha.empty());
  EXPECT_EQ(std::vector<std::uint16_t>(grey.rgb.begin(), grey.rgb.begin() + 3),
            (std::vector<std::uint16_t>{124, 124, 124}));
  image.alpha.assign(256, 77);
  WritePng(folder / "grey_alpha.png", image);
  EXPECT_TRUE(ReadImage(folder / "grey_alpha.png").is_grey);
  EXPECT_EQ(ReadImage(folder / "grey_alpha.png").alpha, image.alpha);
}

TEST(Png, SixteenBitsStaySixteenBits) {
  const TemporaryFolder folder;
  for (const bool is_grey : {false, true}) {
    for (const bool has_alpha : {false, true}) {
      Image image = TestImage16(16, 21);
      image.is_grey = is_grey;
      for (std::size_t i = 0; is_grey && i < image.pixels(); ++i) std::fill_n(&image.rgb[i * 3], 3, image.rgb[i * 3]);
      for (std::size_t i = 0; has_alpha && i < image.pixels(); ++i) image.alpha.push_back(image.rgb[i * 3 + 1]);
      WritePng(folder / "deep.png", image);
      const Image read = ReadImage(folder / "deep.png");
      EXPECT_EQ(read.white, 65535);
      EXPECT_EQ(read.is_grey, is_grey);
      EXPECT_EQ(read.rgb, image.rgb);
      EXPECT_EQ(read.alpha, image.alpha);
    }
  }
}

TEST(Png, FailedWriteLeavesTheOldFileAndNoOther) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "taken.png");  // a folder of that name cannot be replaced
  const std::string message = MessageOf<InputError>([&] { WritePng(folder / "taken.png", TestImage(16, 16)); });
  EXPECT_NE(message.find("taken.png: cannot be written ("), std::string::npos);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
  EXPECT_NE(MessageOf<InputError>([&] { WritePng(folder / "no/where.png", TestImage(16, 16)); }), "");
}

TEST(Png, EveryTruncationIsAnErrorAndNoCrash) {
  const TemporaryFolder folder;
  WritePng(folder / "whole.png", TestImage(16, 16));
  const std::string whole = ReadText(folder / "whole.png");
  for (std::size_t size = 0; size + 20 < whole.size(); size += 7) {  // the last 12 bytes hold no pixels
    WriteFile(folder / "cut.png", whole.substr(0, size));
    EXPECT_EQ(ErrorOf(folder / "cut.png").rfind(folder / "cut.png: ", 0), 0U) << size;
  }
}

TEST(Jpeg, IsReadToWithinItsLoss) {
  const TemporaryFolder folder;
  Image image = TestImage(24, 40);
  for (std::size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = static_cast<std::uint16_t>(i / 15 + 40);
  WriteFile(folder / "photo.jpg", Jpeg(image));
  const Image read = ReadImage(folder / "photo.jpg");
  ASSERT_EQ(read.height, 24);
  ASSERT_EQ(read.width, 40);
  for (std::size_t i = 0; i < image.rgb.size(); ++i) ASSERT_NEAR(read.rgb[i], image.rgb[i], 6);
}

TEST(Jpeg, EveryTruncationIsAnErrorAndNoCrash) {
  const TemporaryFolder folder;
  const std::string whole = Jpeg(TestImage(48, 48));
  for (std::size_t size = 0; size + 3 < whole.size(); size += 61) {
    WriteFile(folder / "cut.jpg", whole.substr(0, size));
    EXPECT_EQ(ErrorOf(folder / "cut.jpg").rfind(folder / "cut.jpg: ", 0), 0U) << size;
  }
}

TEST(Jpeg, NoiseBehindTheHeaderIsNoCrash) {
  const std::string whole = Jpeg(TestImage(48, 48));
  unsigned seed = 1;
  for (int round = 0; round < 200; ++round) {
    std::vector<std::uint8_t> file(whole.begin(), whole.end());
    for (int i = 0; i < 8; ++i) {
      seed = seed * 1664525U + 1013904223U;
      file[2 + (seed >> 8) % (file.size() - 2)] = static_cast<std::uint8_t>(seed >> 3);
    }
    try {
      DecodeJpeg(file);
    } catch (const InputError&) {
    }
  }
}

TEST(Image, ErrorsNameFileAndReason) {
  const TemporaryFolder folder;
  EXPECT_EQ(ErrorOf(folder / "none.png"), folder / "none.png: cannot be read (No such file or directory)");
  WriteFile(folder / "text.png", "hello");
  EXPECT_EQ(ErrorOf(folder / "text.png"), folder / "text.png: neither PNG nor JPEG");
  WriteFile(folder / "empty.jpg", "");
  EXPECT_EQ(ErrorOf(folder / "empty.jpg"), folder / "empty.jpg: neither PNG nor JPEG");
  WritePng(folder / "small.png", TestImage(15, 99));
  EXPECT_EQ(ErrorOf(folder / "small.png"), folder / "small.png: is 99x15, both sides must be at least 16 pixels");
}

TEST(Image, HugeSizesAreRefusedBeforeTheirMemoryIsTaken) {
  const TemporaryFolder folder;
  WritePng(folder / "bomb.png", TestImage(16, 16));
  std::string file = ReadText(folder / "bomb.png");
  // width and height of IHDR, and its checksum
  std::vector<std::uint8_t> header = {'I', 'H', 'D', 'R', 0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff};
  for (std::size_t i = 24; i < 29; ++i) header.push_back(static_cast<std::uint8_t>(file[i]));
  std::uint32_t crc = 0xffffffff;
  for (const std::uint8_t byte : header) {
    crc ^= byte;
    for (int i = 0; i < 8; ++i) crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
  }
  for (std::size_t i = 0; i < 4; ++i) header.push_back(static_cast<std::uint8_t>(~crc >> (24 - 8 * i)));
  file.replace(12, header.size(), std::string(header.begin(), header.end()));
  WriteFile(folder / "bomb.png", file);
  EXPECT_EQ(ErrorOf(folder / "bomb.png"), folder / "bomb.png: more than 89478485 pixels");
}

TEST(ListImages, FindsPngAndJpegByName) {
  const TemporaryFolder folder;
  for (const char* name : {"b.PNG", "a.jpg", "c.jpeg", ".hidden.png", "note.txt", "d.bmp"})
    WriteFile(folder / name, "x");
  fs::create_directory(folder / "folder.png");
  EXPECT_EQ(ListImages(folder.path()),
            (std::vector<std::string>{folder / "a.jpg", folder / "b.PNG", folder / "c.jpeg"}));
  EXPECT_EQ(ListImages(folder / "note.txt"), (std::vector<std::string>{folder / "note.txt"}));
}

TEST(ListImages, NamesTheFolderWithoutImages) {
  const TemporaryFolder folder;
  EXPECT_EQ(MessageOf<InputError>([&] { ListImages(folder.path()); }),
            folder.path() + ": no images (.png, .jpg, .jpeg)");
  EXPECT_EQ(MessageOf<InputError>([&] { ListImages(folder / "none"); }), folder / "none: no such file or folder");
}

}  // namespace
}  // namespace aecrnet
