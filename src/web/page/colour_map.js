// The local colour map: what the network does to a small picture, for every pixel of the photo.
// Formula and constants are those of src/dehaze/local_colour_map.py and src/dehaze/work_size.py, which explain them.

const RADIUS = 2; // pixels of the small picture
const EPSILON = 1e-5; // variance of colours in 0..1
const MULTIPLE = 4; // pixels: the network halves the size twice
const LONGEST_SHAPE = 2; // of a longer panorama, the shorter side is kept larger

/** The [height, width] to which a photo is shrunk for the network; its own size if it is not. */
export function seenSize(height, width, workSize) {
  const scale = Math.max(workSize / Math.max(height, width), workSize / LONGEST_SHAPE / Math.min(height, width));
  if (scale >= 1) return [height, width];
  return [height, width].map((side) => {
    const aligned = roundHalfToEven((side * scale) / MULTIPLE) * MULTIPLE;
    return Math.max(MULTIPLE, Math.min(aligned, Math.floor(side / MULTIPLE) * MULTIPLE));
  });
}

/**
 * A smaller picture: each pixel is the mean of the area that it covers, rounded to a level of 255.
 *
 * @param picture {data, width, height}: RGBA as in ImageData.
 * @returns Float32Array[3 * h * w], colour after colour, in 0..1.
 */
export function shrink({ data, width, height }, [h, w]) {
  const [rows, columns] = [cover(height, h), cover(width, w)];
  const isHalf = height === 2 * h && width === 2 * w; // OpenCV rounds halves up here alone
  const small = new Float32Array(3 * h * w);
  const line = new Float64Array(4 * width);
  rows.forEach((row, y) => {
    line.fill(0);
    for (const [from, share] of row) {
      for (let i = 0, k = 4 * from * width; i < line.length; i++, k++) line[i] += data[k] * share;
    }
    columns.forEach((column, x) => {
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (const [from, share] of column) sum += line[4 * from + c] * share;
        small[(c * h + y) * w + x] = (isHalf ? Math.floor(sum + 0.5) : roundHalfToEven(Math.fround(sum))) / 255;
      }
    });
  });
  return small;
}

/** For each of `small` pixels of a side, the pixels among `size` that it covers, and the share of each. */
function cover(size, small) {
  const scale = size / small;
  return Array.from({ length: small }, (_, i) => {
    const [start, stop] = [i * scale, Math.min((i + 1) * scale, size)];
    const parts = [];
    for (let k = Math.floor(start); k < stop; k++) {
      const share = (Math.min(stop, k + 1) - Math.max(start, k)) / scale;
      if (share > 1e-6) parts.push([Math.min(k, size - 1), share]);
    }
    return parts;
  });
}

function roundHalfToEven(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1;
}

/**
 * The affine change of colours around each pixel of the small picture.
 *
 * @param hazy, clear the picture before and after the network, Float32Array[3 * h * w] in 0..1.
 * @returns {h, w, values}: Float32Array[3 * 4 * h * w]: for each channel the factors of R, G and B, and what is added.
 *   They make the change: without a change all are 0.
 */
export function fit(hazy, clear, h, w) {
  const size = h * w;
  const mean = means(h, w);
  const guide = (c) => hazy.subarray(c * size, (c + 1) * size);
  const guideMeans = [0, 1, 2].map((c) => mean((i) => guide(c)[i]));
  const inverse = inverseSpread(guide, guideMeans, mean, size);
  const values = new Float32Array(12 * size);
  for (let c = 0; c < 3; c++) {
    const change = guide(c).map((value, i) => clear[c * size + i] - value);
    const changeMean = mean((i) => change[i]);
    const covariance = guideMeans.map((guideMean, k) => {
      const plane = guide(k);
      return mean((i) => change[i] * plane[i]).map((value, i) => value - changeMean[i] * guideMean[i]);
    });
    const factors = [0, 1, 2].map((j) => {
      const [a, b, d] = [inverse[0][j], inverse[1][j], inverse[2][j]];
      return covariance[0].map((value, i) => value * a[i] + covariance[1][i] * b[i] + covariance[2][i] * d[i]);
    });
    const added = changeMean.map((value, i) =>
      value - factors[0][i] * guideMeans[0][i] - factors[1][i] * guideMeans[1][i] - factors[2][i] * guideMeans[2][i]);
    [...factors, added].forEach((plane, k) => values.set(mean((i) => plane[i]), (4 * c + k) * size));
  }
  return { h, w, values };
}

/** The same for a picture that was not shrunk: what the network adds to each pixel. */
export function difference(hazy, clear, h, w) {
  const size = h * w;
  const values = new Float32Array(12 * size);
  for (let i = 0; i < 3 * size; i++) values[(4 * Math.floor(i / size) + 3) * size + (i % size)] = clear[i] - hazy[i];
  return { h, w, values };
}

/** The inverses of the 3x3 matrices S + EPSILON E of all windows: rows of columns of planes. */
function inverseSpread(guide, guideMeans, mean, size) {
  const spread = (i, j) => {
    const [first, second] = [guide(i), guide(j)];
    const extra = i === j ? EPSILON : 0;
    return mean((p) => first[p] * second[p]).map((value, p) => value - guideMeans[i][p] * guideMeans[j][p] + extra);
  };
  const planes = [[0, 0], [0, 1], [0, 2], [1, 1], [1, 2], [2, 2]].map(([i, j]) => spread(i, j));
  for (let p = 0; p < size; p++) {
    const [a, b, c, d, e, f] = planes.map((plane) => plane[p]);
    const cofactors = [d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b];
    const determinant = a * cofactors[0] + b * cofactors[1] + c * cofactors[2];
    for (let k = 0; k < 6; k++) planes[k][p] = cofactors[k] / determinant;
  }
  const [a, b, c, d, e, f] = planes;
  return [[a, b, c], [b, d, e], [c, e, f]];
}

/** A function that gives the mean of value(i) over the window of each pixel i, of which pixels outside do not count. */
function means(h, w) {
  const inside = (place, size) => Math.min(place, RADIUS) + 1 + Math.min(size - 1 - place, RADIUS);
  return (value) => {
    const sums = new Float64Array(h * w);
    const line = new Float64Array(w);
    for (let y = 0; y < h; y++) {
      for (let x = 0; x < w; x++) line[x] = value(y * w + x);
      for (let row = Math.max(y - RADIUS, 0); row <= Math.min(y + RADIUS, h - 1); row++) {
        for (let x = 0, to = row * w; x < w; x++, to++) sums[to] += line[x];
      }
    }
    for (let y = 0; y < h; y++) {
      line.set(sums.subarray(y * w, (y + 1) * w));
      for (let x = 0; x < w; x++) {
        let sum = 0;
        for (let k = Math.max(x - RADIUS, 0); k <= Math.min(x + RADIUS, w - 1); k++) sum += line[k];
        sums[y * w + x] = sum / (inside(y, h) * inside(x, w));
      }
    }
    return sums;
  };
}

/**
 * The photo with `strength` (0..1) of the change.
 *
 * Only two rows of coefficients are in memory at the photo's width.
 * @returns Uint8ClampedArray: RGBA with the alpha of the photo.
 */
export function apply(map, { data, width, height }, strength) {
  const result = new Uint8ClampedArray(data); // it rounds
  const [rows, columns] = [places(height, map.h), places(width, map.w)];
  const [above, below] = [new Float32Array(12 * width), new Float32Array(12 * width)];
  const row = new Float32Array(12 * width);
  for (let y = 0, held = -1; y < height; y++) {
    const before = rows.before[y];
    if (before !== held) {
      widen(map, before, columns, strength, above);
      widen(map, Math.min(before + 1, map.h - 1), columns, strength, below);
      held = before;
    }
    const share = rows.share[y];
    for (let i = 0; i < row.length; i++) row[i] = above[i] + share * (below[i] - above[i]);
    changeRow(row, data, result, 4 * y * width, width);
  }
  return result;
}

/** For each of `count` pixels of a side, the small pixel before its centre and the share of the next one. */
function places(count, small) {
  const before = new Int32Array(count);
  const share = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const place = Math.min(Math.max(((i + 0.5) * small) / count - 0.5, 0), small - 1);
    before[i] = Math.min(Math.floor(place), Math.max(small - 2, 0));
    share[i] = place - before[i];
  }
  return { before, share };
}

/** Row y of all coefficients, enlarged to the photo's width: the twelve of a pixel lie together. */
function widen({ h, w, values }, y, { before, share }, strength, wide) {
  for (let k = 0; k < 12; k++) {
    const from = (k * h + y) * w;
    const unit = strength * (k % 4 === 3 ? 255 : 1);
    for (let x = 0, to = k; x < before.length; x++, to += 12) {
      const start = values[from + before[x]];
      wide[to] = unit * (start + share[x] * (values[from + Math.min(before[x] + 1, w - 1)] - start));
    }
  }
}

function changeRow(row, data, result, start, width) {
  for (let x = 0, i = start, k = 0; x < width; x++, i += 4, k += 12) {
    const r = data[i], g = data[i + 1], b = data[i + 2];
    result[i] = r + row[k] * r + row[k + 1] * g + row[k + 2] * b + row[k + 3];
    result[i + 1] = g + row[k + 4] * r + row[k + 5] * g + row[k + 6] * b + row[k + 7];
    result[i + 2] = b + row[k + 8] * r + row[k + 9] * g + row[k + 10] * b + row[k + 11];
  }
}
