// The page's sentences to the visitor.

export const find = (id) => document.getElementById(id);

/** What goes on. */
export function say(text) {
  find("status").textContent = text;
  find("left").textContent = "";
  find("bar").removeAttribute("value");
}

/** A problem, in addition to earlier ones. */
export function fail(text) {
  find("problem").hidden = false;
  find("problem").append(Object.assign(document.createElement("p"), { textContent: text }));
  say("");
}

export function forgetProblems() {
  find("problem").replaceChildren();
  find("problem").hidden = true;
}
