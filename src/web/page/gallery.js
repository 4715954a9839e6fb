// The dehazed photos: one on show with its strength, a list of all, and files for the visitor.
import { decode } from "./decode.js";
import { fail, find } from "./lines.js";
import { startThread } from "./threads.js";

const FORMATS = { png: [".png", "image/png"], jpeg: [".jpg", "image/jpeg", 0.95] };

export const pixels = startThread("map_worker.js"); // it holds the photos' pixels and their maps
const place = dividers(find("result")); // slider.js
const canvas = document.querySelector(".frame .dehazed");
const photos = []; // {id, file, name, width, height, seconds, runtime, strength, isTransparent}
let shown; // one of them

/** Take a photo whose map is known. It comes on show if the visitor waits for it. */
export async function add(photo, isAwaited) {
  photos.push(photo);
  if (isAwaited) await show(photo);
  else await pixels({ task: "release", id: photo.id });
  list();
}

export const isEmpty = () => !photos.length;

// ---- the photo on show ----
async function show(photo) {
  const before = shown;
  shown = photo;
  if (before && before !== photo) pixels({ task: "release", id: before.id });
  const rendered = await render(photo);
  if (shown !== photo) return;
  draw(rendered, canvas);
  canvas.setAttribute("aria-label", `${photo.name}, dehazed`);
  const hazy = document.querySelector(".frame .hazy");
  URL.revokeObjectURL(hazy.src);
  Object.assign(hazy, { src: URL.createObjectURL(photo.file), alt: `${photo.name}, hazy` });
  find("result").hidden = false;
  const frame = document.querySelector(".frame");
  frame.style.setProperty("--ratio", photo.width / photo.height);
  place(frame, 50);
  describe(photo);
  list();
  find("result").scrollIntoView({ block: "nearest" });
}

/** The photo at its strength and full size. Its pixels may have been released; they are in the file. */
async function render(photo) {
  const request = { task: "render", id: photo.id, strength: photo.strength };
  const rendered = await pixels(request);
  if (rendered) return rendered;
  const picture = await decode(photo.file);
  await pixels({ task: "keep", id: photo.id, picture }, [picture.data.buffer]);
  return pixels(request);
}

function draw({ data, width, height }, target) {
  Object.assign(target, { width, height });
  target.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
}

function describe({ name, width, height, seconds, runtime, strength }) {
  find("name").textContent = name;
  find("facts").textContent = `${width}×${height} px, ${seconds.toFixed(1)} s with ${runtime}`;
  find("strength").value = Math.round(100 * strength);
  find("percent").textContent = `${Math.round(100 * strength)} %`;
}

/** The list of photos, if there are several. */
function list() {
  find("photos").hidden = find("download_all").hidden = photos.length < 2;
  find("photos").replaceChildren(...photos.map((photo) => {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "button" });
    button.textContent = photo.name;
    button.setAttribute("aria-pressed", photo === shown);
    button.addEventListener("click", () => show(photo).catch((error) => fail(error.message)));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
}

let wanted; // the last rendering that the strength slider asked for
let isRendering = false;

/** Follow the strength slider, without a queue of renderings that nobody needs any more. */
async function follow(isPreview) {
  wanted = { isPreview };
  if (isRendering) return;
  isRendering = true;
  while (wanted) {
    const photo = shown;
    const request = { task: "render", id: photo.id, strength: photo.strength, ...wanted };
    wanted = undefined;
    const rendered = await pixels(request); // null if another photo came on show
    if (rendered && photo === shown) draw(rendered, canvas);
  }
  isRendering = false;
}

// ---- files for the visitor ----
async function save(photo) {
  const [suffix, ...type] = FORMATS[find("format").value];
  if (photo.isTransparent && suffix === ".jpg") {
    throw new Error(`${photo.name}: JPEG cannot hold its transparent parts, choose PNG.`);
  }
  const drawn = document.createElement("canvas");
  draw(await render(photo), drawn);
  if (photo !== shown) pixels({ task: "release", id: photo.id });
  const blob = await new Promise((resolve) => drawn.toBlob(resolve, ...type));
  if (!blob) throw new Error(`${photo.name}: the result is too large for this browser.`);
  const href = URL.createObjectURL(blob);
  const name = `${photo.name.replace(/\.\w+$/, "")}_dehazed${suffix}`;
  Object.assign(document.createElement("a"), { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60000); // the browser reads it meanwhile
}

async function saveAll(chosen) {
  for (const photo of chosen) await save(photo).catch((error) => fail(error.message));
}

// ---- actions of the visitor ----
find("strength").addEventListener("input", (event) => {
  shown.strength = event.target.value / 100;
  describe(shown);
  follow(true);
});
find("strength").addEventListener("change", () => follow(false));
find("download").addEventListener("click", () => saveAll([shown]));
find("download_all").addEventListener("click", () => saveAll([...photos]));
