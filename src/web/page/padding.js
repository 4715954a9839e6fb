// Pictures as the network takes them: sides that are multiples of 4. Colour after colour, Float32Array[3 * h * w].

export const alignUp = (side) => Math.ceil(side / 4) * 4; // the network halves the size twice

/** A picture mirrored beyond its right and lower edge. */
export function padded(values, h, w, height, width) {
  if (h === height && w === width) return values;
  const larger = new Float32Array(3 * height * width);
  for (let c = 0, to = 0; c < 3; c++) {
    for (let y = 0; y < height; y++) {
      const line = (c * h + mirrored(y, h)) * w;
      for (let x = 0; x < width; x++, to++) larger[to] = values[line + mirrored(x, w)];
    }
  }
  return larger;
}

/** The upper left part of a picture. */
export function cropped(values, h, w, height, width) {
  if (h === height && w === width) return values;
  const smaller = new Float32Array(3 * h * w);
  for (let line = 0; line < 3 * h; line++) {
    const from = (Math.floor(line / h) * height + (line % h)) * width;
    smaller.set(values.subarray(from, from + w), line * w);
  }
  return smaller;
}

/** The place in 0..size-1 that a mirror at both ends shows at `i`. */
function mirrored(i, size) {
  const place = i % (2 * size - 2);
  return place < size ? place : 2 * size - 2 - place;
}
