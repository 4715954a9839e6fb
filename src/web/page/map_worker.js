// The photos' pixels. They are shrunk and changed in this thread, so that the strength can be set while the network works.
// Messages to it: {number, task, ...}; the tasks are the functions below. From it: {number, result} or {number, error}.
import { apply, difference, fit, seenSize, shrink } from "./colour_map.js";

const PREVIEW_PIXELS = 500000; // of the picture that follows a moving slider

const photos = new Map(); // id -> {picture, preview}
const maps = new Map(); // id -> what fit or difference returns

const tasks = {
  /** Keep a photo {data, width, height}. */
  keep({ id, picture }) {
    const scale = Math.sqrt(PREVIEW_PIXELS / (picture.width * picture.height));
    photos.set(id, { picture, preview: scale < 1 ? reduced(picture, scale) : picture });
  },

  /** What the network is to see of a photo: {values: Float32Array[3 * h * w] in 0..1, h, w}. */
  see({ id, workSize }) {
    const { picture } = photos.get(id);
    const [h, w] = seenSize(picture.height, picture.width, workSize);
    return { values: shrink(picture, [h, w]), h, w };
  },

  /** Keep what the network makes of it. */
  learn({ id, hazy, clear, h, w }) {
    const { width, height } = photos.get(id).picture;
    maps.set(id, (h === height && w === width ? difference : fit)(hazy, clear, h, w));
  },

  /**
   * The photo, or a smaller picture for a preview, with some strength of the change: {data, width, height}.
   *
   * Null if the photo's pixels were released.
   */
  render({ id, strength, isPreview }) {
    const picture = photos.get(id)?.[isPreview ? "preview" : "picture"];
    return picture && { data: apply(maps.get(id), picture, strength), width: picture.width, height: picture.height };
  },

  /** Forget the pixels of a photo; its map stays. */
  release({ id }) {
    photos.delete(id);
  },

  forget({ id }) {
    photos.delete(id);
    maps.delete(id);
  },
};

onmessage = ({ data: { number, task, ...message } }) => {
  try {
    const result = tasks[task](message);
    postMessage({ number, result: result ?? null }, result?.data ? [result.data.buffer] : []);
  } catch (error) {
    postMessage({ number, error: error.message });
  }
};

/** A smaller picture of nearest pixels. */
function reduced({ data, width, height }, scale) {
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  const [from, to] = [new Uint32Array(data.buffer), new Uint32Array(w * h)];
  for (let y = 0, i = 0; y < h; y++) {
    const line = Math.floor((y + 0.5) / scale) * width;
    for (let x = 0; x < w; x++, i++) to[i] = from[line + Math.floor((x + 0.5) / scale)];
  }
  return { data: new Uint8ClampedArray(to.buffer), width: w, height: h };
}
