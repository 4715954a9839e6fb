// Tiles with blended seams. The numbers equal those of src/dehaze/tiles.py.

const ALIGN = 4; // the network halves twice: only such tiles have the sampling grid of the image
const alignUp = (value) => Math.ceil(value / ALIGN) * ALIGN;

/**
 * Split `size` pixels (a multiple of 4) into the fewest stretches of one length, at most `tile`.
 *
 * Neighbours share at least `overlap` pixels. Returns [start, stop] of each.
 */
export function windows(size, tile, overlap) {
  if (size <= tile) return [[0, size]];
  overlap = alignUp(overlap);
  const count = Math.ceil((size - overlap) / (tile - overlap));
  const length = alignUp(Math.ceil((size + (count - 1) * overlap) / count));
  return Array.from({ length: count }, (_, i) => {
    const start = Math.floor(Math.floor((i * (size - length)) / (count - 1)) / ALIGN) * ALIGN;
    return [start, start + length];
  });
}

/** Weights of the stretches, Float32Array each: linear where neighbours overlap, and 1 in sum everywhere. */
export function ramps(stretches) {
  const total = new Float32Array(stretches.at(-1)[1]);
  const weights = stretches.map(([start, stop], i) => {
    const left = i > 0 ? stretches[i - 1][1] - start : 0;
    const right = i + 1 < stretches.length ? stop - stretches[i + 1][0] : 0;
    const weight = new Float32Array(stop - start).fill(1);
    for (let k = 0; k < left; k++) weight[k] *= (k + 0.5) / left;
    for (let k = 0; k < right; k++) weight[weight.length - 1 - k] *= (k + 0.5) / right;
    weight.forEach((value, k) => { total[start + k] += value; });
    return weight;
  });
  return weights.map((weight, i) => weight.map((value, k) => value / total[stretches[i][0] + k])); // three may overlap
}

/**
 * Restore a picture piece by piece; at most a row of tiles is held in float at a time.
 *
 * @param picture {data, width, height}: RGBA as in ImageData. Mirrored here up to multiples of 4.
 * @param model {tile, overlap}: the longest side of a tile in pixels, a multiple of 4; how many of them neighbours share
 *   at least.
 * @param restore (Float32Array[3 * h * w] in 0..1, h, w) -> a promise of the same, restored.
 * @param progress called with tiles done and tiles in all; what it returns is awaited.
 * @returns Uint8ClampedArray, RGBA with the alpha of `picture`.
 */
export async function restoreInTiles(picture, model, restore, progress) {
  const { width, height } = picture;
  const [rows, columns] = [height, width].map((side) => windows(alignUp(side), model.tile, model.overlap));
  const [rowWeights, columnWeights] = [ramps(rows), ramps(columns)];
  const result = new Uint8ClampedArray(picture.data);
  const stripWidth = columns.at(-1)[1];
  let strip = new Float32Array(rows[0][1] * stripWidth * 3);
  for (const [i, row] of rows.entries()) {
    for (const [j, column] of columns.entries()) {
      await progress(i * columns.length + j, rows.length * columns.length);
      const [h, w] = [row[1] - row[0], column[1] - column[0]];
      const restored = await restore(cut(picture, row, column), h, w);
      add(strip, stripWidth, column[0], restored, rowWeights[i], columnWeights[j]);
    }
    const finished = (i + 1 < rows.length ? rows[i + 1][0] : row[1]) - row[0];
    write(strip, stripWidth, result, width, row[0], Math.min(height, row[0] + finished));
    strip.copyWithin(0, finished * stripWidth * 3);
    strip.fill(0, strip.length - finished * stripWidth * 3);
  }
  return result;
}

/** The place in 0..size-1 that a mirror at both ends shows at `i`. */
function mirrored(i, size) {
  const place = i % (2 * size - 2);
  return place < size ? place : 2 * size - 2 - place;
}

/** One tile, colour after colour, in 0..1. */
function cut({ data, width, height }, [top, bottom], [left, right]) {
  const size = (bottom - top) * (right - left);
  const tile = new Float32Array(3 * size);
  let to = 0;
  for (let y = top; y < bottom; y++) {
    const line = mirrored(y, height) * width;
    for (let x = left; x < right; x++, to++) {
      const from = 4 * (line + mirrored(x, width));
      for (let c = 0; c < 3; c++) tile[c * size + to] = data[from + c] / 255;
    }
  }
  return tile;
}

/** Add a weighted tile to the strip, float RGB in 0..255. */
function add(strip, stripWidth, left, tile, rowWeights, columnWeights) {
  const size = rowWeights.length * columnWeights.length;
  let from = 0;
  rowWeights.forEach((rowWeight, y) => {
    let to = 3 * (y * stripWidth + left);
    columnWeights.forEach((weight) => {
      for (let c = 0; c < 3; c++, to++) {
        strip[to] += Math.min(Math.max(tile[c * size + from], 0), 1) * 255 * rowWeight * weight;
      }
      from++;
    });
  });
}

/** Write the strip's upper lines into lines `top` to `bottom` of an RGBA picture, which rounds. */
function write(strip, stripWidth, result, width, top, bottom) {
  for (let y = top; y < bottom; y++) {
    for (let x = 0; x < width; x++) {
      const from = 3 * ((y - top) * stripWidth + x);
      for (let c = 0; c < 3; c++) result[4 * (y * width + x) + c] = strip[from + c];
    }
  }
}
