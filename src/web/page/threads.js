// Starting threads, and asking them.

const TRIED = "reloaded for threads"; // key in the tab's storage, against a loop of reloads
const PATIENCE = 5000; // ms, for the service worker

/**
 * Make WebAssembly's threads possible on a server that does not send the two headers that they need.
 *
 * The service worker adds them. It takes effect after one reload. Without it, the network runs on one thread.
 * @param mayReload says whether a reload would lose nothing.
 * @returns whether the page is being reloaded.
 */
export async function allowThreads(mayReload) {
  try {
    if (crossOriginIsolated || !navigator.serviceWorker || sessionStorage.getItem(TRIED)) return false;
    await navigator.serviceWorker.register("service_worker.js");
    const late = new Promise((resolve) => setTimeout(resolve, PATIENCE));
    if (!(await Promise.race([navigator.serviceWorker.ready, late])) || !mayReload()) return false;
    sessionStorage.setItem(TRIED, "yes");
  } catch {
    return false; // the browser forbids service workers or storage
  }
  location.reload();
  return true;
}

/**
 * Start a script of this folder in a thread.
 *
 * @returns ask(message, transfer): a promise of the thread's answer, which fails with the thread's error; `ask.first`
 *   is a promise of the message number 0.
 */
export function startThread(script) {
  // A thread from a blob obeys the page's Content-Security-Policy. A thread from a file would obey none.
  const source = `import ${JSON.stringify(new URL(script, document.baseURI).href)};`;
  const thread = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })), { type: "module" });
  const waiting = new Map(); // number -> [resolve, reject]
  let broken; // why the thread cannot work
  let count = 0;
  const wait = (number) => new Promise((resolve, reject) => {
    if (broken) reject(broken);
    else waiting.set(number, [resolve, reject]);
  });
  thread.onmessage = ({ data: { number, result, error } }) => {
    const [resolve, reject] = waiting.get(number) ?? [];
    waiting.delete(number);
    if (error === undefined) resolve?.(result);
    else reject?.(new Error(error));
  };
  thread.onerror = () => {
    broken = new Error("this browser is too old, or files are missing");
    waiting.forEach(([, reject]) => reject(broken));
    waiting.clear();
  };
  const ask = (message, transfer = []) => {
    thread.postMessage({ number: ++count, ...message }, transfer);
    return wait(count);
  };
  ask.first = wait(0);
  ask.first.catch(() => {}); // who awaits it hears of it
  return ask;
}
