// The network. It runs in a thread, so that the page stays responsive.
// Messages to it: {id, picture: {data, width, height}} starts a picture and stops the one before; {id} only stops.
// Messages from it: {id, done, total} tiles; {id, data, runtime}; {id, error}. Id 0 is for messages about the start.
import { restoreInTiles } from "./tiles.js";

const MAX_THREADS = 8; // of WebAssembly; more hardly help

const PROBE_TOLERANCE = 0.02; // of 0..1, enough for float16

class Stopped extends Error {}

const address = (path) => new URL(path, import.meta.url).href;
let model, network; // the content of model.json; {runtime, run}
let current = 0; // id of the current picture
let queue = start(); // one picture after another, because a session has one run at a time

onmessage = ({ data }) => {
  current = data.id;
  queue = queue.then(() => dehaze(data));
};

async function start() {
  try {
    model = await (await fetch(address("model.json"), { cache: "no-cache" })).json();
    const adapter = navigator.gpu && (await navigator.gpu.requestAdapter());
    network = adapter ? await open("webgpu").catch(() => open("wasm")) : await open("wasm");
    postMessage({ id: 0, runtime: network.runtime });
  } catch (error) {
    postMessage({ id: 0, error: error.message });
  }
}

/** The network on "webgpu" or "wasm". */
async function open(runtime) {
  const { env, InferenceSession, Tensor } = await import(address(`onnxruntime/ort.${runtime}.min.mjs`));
  env.wasm.wasmPaths = address("onnxruntime/");
  env.wasm.numThreads = crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, MAX_THREADS) : 1; // see README.md
  const session = await InferenceSession.create(address(`model.onnx?${model.sha256}`), {
    executionProviders: [runtime],
    // with more, onnxruntime-web 1.30 on WebGPU fuses Conv, Tanh and Clip and loses the Tanh
    graphOptimizationLevel: runtime === "webgpu" ? "basic" : "all",
    logSeverityLevel: 3, // errors: it warns of each operator that is not on the GPU
  });
  async function run(values, h, w) {
    const results = await session.run({ [session.inputNames[0]]: new Tensor("float32", values, [1, 3, h, w]) });
    return results[session.outputNames[0]].data;
  }
  await probe(run, runtime);
  return { runtime, run };
}

/** Compare a result with that of write_web in folder.py, since the drivers of some GPUs compute other numbers. */
async function probe(run, runtime) {
  const side = Math.sqrt(model.probe.length / 3);
  const found = await run(Float32Array.from(model.probe, (_, i) => (i % 251) / 250), side, side);
  if (!model.probe.every((value, i) => Math.abs(value - found[i]) < PROBE_TOLERANCE)) {
    throw new Error(`its results with ${runtime} are wrong on this device`);
  }
}

async function dehaze({ id, picture }) {
  if (!picture || !network || id !== current) return;
  try {
    const data = await restoreInTiles(picture, model, restore, async (done, total) => {
      await new Promise((resolve) => setTimeout(resolve)); // handles waiting messages
      if (id !== current) throw new Stopped();
      postMessage({ id, done, total });
    });
    postMessage({ id, data, runtime: network.runtime }, [data.buffer]);
  } catch (error) {
    if (!(error instanceof Stopped)) postMessage({ id, error: error.message });
  }
}

async function restore(...tile) {
  if (network.runtime === "webgpu") {
    try {
      return await network.run(...tile);
    } catch {
      network = await open("wasm"); // the GPU's memory was too small, or its driver restarted
    }
  }
  return network.run(...tile);
}
