const find = (id) => document.getElementById(id);
const place = dividers(find("result")); // slider.js
const RUNTIMES = { webgpu: "WebGPU", wasm: "WebAssembly" };
const MIN_SIDE = 16; // pixels, as in src/data/images.py

let current = 0; // id of the current photo
let photo; // {name, width, height, url, start} of the photo in work or on show
const kept = []; // addresses of the shown pictures

// ---- the thread with the network ----
// A thread from a blob obeys the page's Content-Security-Policy. A thread from a file would obey none.
const source = `import ${JSON.stringify(new URL("worker.js", document.baseURI).href)};`;
const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })), { type: "module" });
worker.onerror = () => fail("The network cannot be started: this browser is too old, or files are missing.");
worker.onmessage = ({ data }) => {
  if (data.id === 0) return data.error ? fail(`The network cannot be loaded: ${data.error}`) : ready(data.runtime);
  if (data.id !== current) return;
  if (data.error) fail(`${photo.name} cannot be dehazed: ${data.error}`);
  else if (data.data) finish(data);
  else progress(data);
};

function ready(runtime) {
  find("runtime").textContent = `It runs with ${RUNTIMES[runtime]}.`;
  if (!photo) say("");
}

// ---- from a file to the result ----
async function open(file) {
  const id = ++current;
  worker.postMessage({ id });
  find("problem").hidden = find("result").hidden = true;
  find("work").hidden = false;
  find("bar").removeAttribute("value");
  photo = { name: file.name };
  say(`Reading ${file.name}`);
  let picture;
  try {
    picture = await decode(file);
  } catch {
    picture = null;
  }
  if (id !== current) return;
  if (!picture) return fail(`${file.name}: this browser cannot read it as a picture.`);
  const { data, width, height } = picture;
  if (Math.min(width, height) < MIN_SIDE) {
    return fail(`${file.name}: ${width}×${height} px is too small, each side must have at least ${MIN_SIDE}.`);
  }
  photo = { name: file.name, width, height, hazy: file, start: performance.now() };
  say(`Dehazing ${file.name}`);
  worker.postMessage({ id, picture: { data, width, height } }, [data.buffer]);
}

/** ImageData of a picture file, upright, in sRGB. */
async function decode(file) {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  const context = canvas(bitmap.width, bitmap.height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

function canvas(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height });
}

function progress({ done, total }) {
  if (done === 0) photo.start = performance.now(); // the time before was for loading
  const left = Math.ceil(((performance.now() - photo.start) / 1000 / done) * (total - done));
  find("bar").max = total;
  find("bar").value = done;
  find("left").textContent = `Tile ${done + 1} of ${total}` + (done ? `, about ${left} s left` : "");
}

async function finish({ data, runtime }) {
  const id = current;
  const seconds = (performance.now() - photo.start) / 1000;
  const { name, width, height, hazy } = photo;
  const drawn = canvas(width, height);
  drawn.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
  const dehazed = await new Promise((resolve) => drawn.toBlob(resolve, "image/png"));
  if (id !== current) return;
  if (!dehazed) return fail(`${name}: the result is too large for this browser.`);
  kept.splice(0).forEach((url) => URL.revokeObjectURL(url));
  kept.push(URL.createObjectURL(hazy), URL.createObjectURL(dehazed));
  const [before, after] = kept;
  show(document.querySelector(".hazy"), before, `${name}, hazy`);
  show(document.querySelector(".dehazed"), after, `${name}, dehazed`);
  find("name").textContent = name;
  find("facts").textContent = `${width}×${height} px, ${seconds.toFixed(1)} s with ${RUNTIMES[runtime]}`;
  Object.assign(find("download"), { href: after, download: `${name.replace(/\.\w+$/, "")}_dehazed.png` });
  find("work").hidden = true;
  find("result").hidden = false;
  const frame = document.querySelector(".frame");
  frame.style.setProperty("--ratio", width / height);
  place(frame, 50);
  say(`${name} is dehazed.`);
  find("result").scrollIntoView({ block: "nearest" });
}

function show(image, src, alt) {
  Object.assign(image, { src, alt });
}

function say(text) {
  find("status").textContent = text;
  find("left").textContent = "";
}

function fail(text) {
  find("work").hidden = true;
  find("problem").hidden = false;
  find("problem").textContent = text;
  say("");
}

// ---- actions of the visitor ----
find("file").addEventListener("change", (event) => {
  if (event.target.files.length) open(event.target.files[0]);
  event.target.value = ""; // the same file may be chosen again
});
find("stop").addEventListener("click", () => {
  worker.postMessage({ id: ++current });
  find("work").hidden = true;
  say("Stopped.");
  find("file").focus();
});
for (const type of ["dragover", "dragleave", "drop"]) {
  window.addEventListener(type, (event) => {
    event.preventDefault();
    find("drop").classList.toggle("over", type === "dragover");
    if (type === "drop" && event.dataTransfer.files.length) open(event.dataTransfer.files[0]);
  });
}
say("Loading the network. You may choose a photo meanwhile.");
