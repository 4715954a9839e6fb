// From a file to pixels.

const MIN_SIDE = 16; // pixels, as in src/spec.py
const HEIC_BRANDS = ["heic", "heix", "hevc", "heim", "heis", "mif1", "msf1"];

/**
 * The pixels of a picture file, upright, in sRGB: {data, width, height} as in ImageData.
 *
 * Fails with a sentence that names the file and says what to do.
 */
export async function decode(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw new Error(await unreadable(file));
  }
  const { width, height } = bitmap;
  if (Math.min(width, height) < MIN_SIDE) {
    throw new Error(`${file.name}: ${width}×${height} px is too small, each side must have at least ${MIN_SIDE}.`);
  }
  const data = pixels(bitmap);
  bitmap.close();
  if (!data) {
    throw new Error(`${file.name}: ${width}×${height} px is too large for this browser. Make the photo smaller first.`);
  }
  return { data, width, height };
}

/** Whether some pixel of RGBA is transparent. */
export function isTransparent(data) {
  for (let i = 3; i < data.length; i += 4) if (data[i] < 255) return true;
  return false;
}

/** RGBA, or null if the browser has no canvas of this size. */
function pixels(bitmap) {
  try {
    const canvas = Object.assign(document.createElement("canvas"), { width: bitmap.width, height: bitmap.height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
    return data.some((value) => value) ? data : null; // some browsers leave too large a canvas empty
  } catch {
    return null;
  }
}

async function unreadable(file) {
  const start = new TextDecoder("latin1").decode(await file.slice(0, 12).arrayBuffer().catch(() => new ArrayBuffer(0)));
  const isHeic = start.slice(4, 8) === "ftyp" && HEIC_BRANDS.includes(start.slice(8));
  if (isHeic || /\.hei[cf]$/i.test(file.name)) {
    return `${file.name}: a HEIC photo, which this browser cannot read. Open this page in Safari, or save the photo as ` +
      "JPEG first. An iPhone takes JPEG photos with Settings > Camera > Formats > Most Compatible.";
  }
  return `${file.name}: this browser cannot read it as a picture.`;
}
