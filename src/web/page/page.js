// The page: photos go one after another through the network.
import { decode, isTransparent } from "./decode.js";
import { add, isEmpty, pixels } from "./gallery.js";
import { fail, find, forgetProblems, say } from "./lines.js";
import { allowThreads, startThread } from "./threads.js";

const RUNTIMES = { webgpu: "WebGPU", wasm: "WebAssembly" };

const waiting = []; // photos {id, file, name, strength} before the network
let run = 0; // goes up when the visitor stops the work
let isWorking = false;
let chosen = 0; // photos since the page was last idle
let isAwaited = true; // whether the next result comes on show: the first of those
let pace; // seconds of the network for a pixel, measured by the last photo
let lastId = 0;
const starting = start();

class Unloaded extends Error {
  constructor({ message }) {
    super(`The network cannot be loaded: ${message}. Reload the page to try again.`);
  }
}

/** The thread with the network. A reload that makes threads possible ends everything before. */
async function start() {
  if (await allowThreads(() => !waiting.length && !isWorking)) return new Promise(() => {});
  const network = startThread("worker.js");
  network.first.then(({ runtime }) => {
    find("runtime").textContent = `It runs with ${RUNTIMES[runtime]}.`;
    if (!isWorking && isEmpty()) say("");
  }, (error) => isWorking || fail(new Unloaded(error).message));
  return network;
}

function choose(files) {
  if (!isWorking) {
    chosen = 0;
    isAwaited = true;
    forgetProblems();
  }
  for (const file of files) waiting.push({ id: ++lastId, file, name: file.name, strength: 1 });
  chosen += files.length;
  if (!isWorking && waiting.length) work();
}

async function work() {
  const mine = run;
  const isStopped = () => mine !== run; // other work may have begun since
  isWorking = true;
  find("work").hidden = false;
  while (waiting.length) {
    const photo = waiting.shift();
    try {
      await dehaze(photo, isStopped);
    } catch (error) {
      if (isStopped()) return;
      if (error instanceof Unloaded) waiting.splice(0);
      fail(error.message);
    }
    if (isStopped()) return;
  }
  isWorking = false;
  find("work").hidden = true;
}

async function dehaze(photo, isStopped) {
  const begun = performance.now();
  const count = chosen > 1 ? ` (${chosen - waiting.length} of ${chosen})` : "";
  say(`Reading ${photo.name}${count}`);
  const picture = await decode(photo.file);
  if (isStopped()) return;
  const { data, width, height } = picture;
  Object.assign(photo, { width, height, isTransparent: isTransparent(data) });
  say(`Dehazing ${photo.name}${count}`);
  const network = await starting;
  const { workSize } = await network.first.catch((error) => { throw new Unloaded(error); });
  try {
    await pixels({ task: "keep", id: photo.id, picture }, [data.buffer]);
    const hazy = await pixels({ task: "see", id: photo.id, workSize });
    const { clear, runtime, seconds } = await timed(network(hazy), pace * hazy.h * hazy.w, isStopped);
    pace = seconds / (hazy.h * hazy.w);
    if (isStopped()) return pixels({ task: "forget", id: photo.id });
    await pixels({ task: "learn", id: photo.id, hazy: hazy.values, clear, h: hazy.h, w: hazy.w });
    Object.assign(photo, { runtime: RUNTIMES[runtime], seconds: (performance.now() - begun) / 1000 });
    await add(photo, isAwaited);
    isAwaited = false;
  } catch (error) {
    pixels({ task: "forget", id: photo.id });
    throw new Error(`${photo.name} cannot be dehazed: ${error.message}`);
  }
  say(`${photo.name} is dehazed.`);
}

/** Shows how long a pass of the network takes, and how long it will as far as that is known. */
async function timed(pass, expected, isStopped) {
  const begun = performance.now();
  const tell = () => {
    if (isStopped()) return;
    const seconds = (performance.now() - begun) / 1000;
    const isKnown = expected > seconds;
    if (isKnown) Object.assign(find("bar"), { max: expected, value: seconds });
    else find("bar").removeAttribute("value");
    find("left").textContent = isKnown ? `about ${Math.ceil(expected - seconds)} s left`
      : `${Math.floor(seconds)} s so far`;
  };
  tell();
  const timer = setInterval(tell, 500);
  try {
    return await pass;
  } finally {
    clearInterval(timer);
  }
}

// ---- actions of the visitor ----
find("file").addEventListener("change", (event) => {
  choose(event.target.files);
  event.target.value = ""; // the same file may be chosen again
});
find("stop").addEventListener("click", () => {
  run++;
  waiting.splice(0);
  isWorking = false;
  find("work").hidden = true;
  say("Stopped.");
  find("file").focus();
});
for (const type of ["dragover", "dragleave", "drop"]) {
  window.addEventListener(type, (event) => {
    event.preventDefault();
    find("drop").classList.toggle("over", type === "dragover");
    if (type === "drop") choose(event.dataTransfer.files);
  });
}
say("Loading the network. You may choose photos meanwhile.");
