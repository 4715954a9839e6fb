// The network. It runs in a thread, so that the page stays responsive.
// Messages to it: {number, values, h, w}. From it: {number, result} or {number, error}. Number 0 is about the start.
import { alignUp, cropped, padded } from "./padding.js";

const MAX_THREADS = 8; // of WebAssembly; more hardly help

const PROBE_TOLERANCE = 0.02; // of 0..1, enough for float16

const address = (path) => new URL(path, import.meta.url).href;
let network; // {runtime, run}
let queue = start(); // one picture after another, because a session has one run at a time

onmessage = ({ data }) => {
  queue = queue.then(() => dehaze(data));
};

async function start() {
  try {
    const model = await description();
    const adapter = navigator.gpu && (await navigator.gpu.requestAdapter());
    network = adapter ? await open(model, "webgpu").catch(() => open(model, "wasm")) : await open(model, "wasm");
    network.model = model;
    postMessage({ number: 0, result: { runtime: network.runtime, workSize: model.work_size } });
  } catch (error) {
    postMessage({ number: 0, error: error.message });
  }
}

async function description() {
  const response = await fetch(address("model.json"), { cache: "no-cache" });
  if (!response.ok) throw new Error(`the server answers ${response.status} for model.json`);
  return response.json();
}

/** The network on "webgpu" or "wasm". */
async function open(model, runtime) {
  const { env, InferenceSession, Tensor } = await import(address(`onnxruntime/ort.${runtime}.min.mjs`));
  env.wasm.wasmPaths = address("onnxruntime/");
  env.wasm.numThreads = crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, MAX_THREADS) : 1; // threads.js
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
  await probe(model, run, runtime);
  return { runtime, run };
}

/** Compare a result with that of write_web in folder.py, since the drivers of some GPUs compute other numbers. */
async function probe(model, run, runtime) {
  const side = Math.sqrt(model.probe.length / 3);
  const found = await run(Float32Array.from(model.probe, (_, i) => (i % 251) / 250), side, side);
  if (!model.probe.every((value, i) => Math.abs(value - found[i]) < PROBE_TOLERANCE)) {
    throw new Error(`its results with ${runtime} are wrong on this device`);
  }
}

async function dehaze({ number, values, h, w }) {
  try {
    const begun = performance.now();
    const clear = (await restore(values, h, w)).map((value) => Math.min(Math.max(value, 0), 1));
    const result = { clear, runtime: network.runtime, seconds: (performance.now() - begun) / 1000 };
    postMessage({ number, result }, [clear.buffer]);
  } catch (error) {
    postMessage({ number, error: error.message });
  }
}

/** One pass. The picture is mirrored up to multiples of 4, and the result cut. */
async function restore(values, h, w) {
  const [height, width] = [alignUp(h), alignUp(w)];
  const restored = await run(padded(values, h, w, height, width), height, width);
  return cropped(restored, h, w, height, width);
}

async function run(...tensor) {
  if (network.runtime === "webgpu") {
    try {
      return await network.run(...tensor);
    } catch {
      network = { ...(await open(network.model, "wasm")), model: network.model }; // too little memory, or a new driver
    }
  }
  return network.run(...tensor);
}
