"use strict";
(() => {
  const gallery = document.getElementById("gallery");
  const cards = [...gallery.children];
  const find = (id) => document.getElementById(id);
  const place = dividers(gallery);
  const STEP = 24; // cards shown at first and with each "show more": hundreds at once make a phone slow

  // ---- buttons on the cards ----
  function compareWithTruth(card, on) {
    const button = card.querySelector(".truth-button");
    if (!button) return;
    card.classList.toggle("against-truth", on);
    button.setAttribute("aria-pressed", on);
    card.querySelector(".label.before").textContent = on ? "Ground truth" : "Hazy";
    place(card.querySelector(".frame"), Number(card.querySelector("[role=slider]").getAttribute("aria-valuenow")));
  }
  gallery.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const card = button.closest(".card");
    const on = button.getAttribute("aria-pressed") !== "true";
    if (button.matches(".truth-button")) return compareWithTruth(card, on);
    button.setAttribute("aria-pressed", on);
    card.classList.toggle("wide", on);
    card.scrollIntoView({ block: "nearest", behavior: "instant" }); // it may have moved to another row
  });
  const everywhere = find("truth-everywhere");
  if (everywhere) everywhere.addEventListener("click", () => {
    const on = everywhere.getAttribute("aria-pressed") !== "true";
    everywhere.setAttribute("aria-pressed", on);
    cards.forEach((card) => compareWithTruth(card, on));
  });

  // ---- order, search, show more ----
  const names = new Intl.Collator(undefined, { numeric: true });
  const number = (node, key) => (node.dataset[key] === undefined ? NaN : Number(node.dataset[key]));

  function compare(key, sign) {
    if (key === "name") return (a, b) => sign * names.compare(a.dataset.name, b.dataset.name);
    return (a, b) => {
      const x = number(a, key), y = number(b, key);
      if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y); // without a score: last
      return sign * (x < y ? -1 : x > y ? 1 : 0);
    };
  }

  let limit = STEP;
  function arrange() {
    const [key, direction] = find("order").value.split(" ");
    const wanted = find("filter").value.trim().toLowerCase();
    const ordered = [...cards].sort(compare(key, direction === "down" ? -1 : 1));
    const matching = ordered.filter((card) => card.dataset.name.toLowerCase().includes(wanted));
    const shown = new Set(matching.slice(0, limit));
    ordered.forEach((card) => { card.hidden = !shown.has(card); });
    gallery.append(...ordered);
    const all = cards.length > 1 ? cards.length : "";
    find("count").textContent = matching.length === cards.length ? all : matching.length + " of " + all;
    find("more").hidden = matching.length <= limit;
    find("more-button").textContent = "Show " + Math.min(STEP, matching.length - limit) + " more";
    return matching;
  }
  find("order").addEventListener("change", arrange);
  find("filter").addEventListener("input", () => { limit = STEP; arrange(); });
  find("more-button").addEventListener("click", () => {
    const first = arrange()[limit];
    limit += STEP;
    arrange();
    first.querySelector("[role=slider]").focus({ preventScroll: true });
  });

  // A link to a card that is not shown yet: show it before the browser jumps there.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#i']");
    const card = link && find(link.getAttribute("href").slice(1));
    if (!card || !card.hidden) return;
    find("filter").value = "";
    limit = Math.max(limit, arrange().indexOf(card) + 1);
    arrange();
  });

  // ---- table ----
  const table = document.querySelector("table");
  if (table) table.tHead.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const head = button.parentElement, column = head.cellIndex, body = table.tBodies[0];
    const before = head.getAttribute("aria-sort");
    const up = before ? before === "descending" : column === 0; // scores: the best first
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const order = compare(column ? "value" : "name", up ? 1 : -1);
    body.append(...[...body.rows].sort((a, b) => order(a.cells[column], b.cells[column])));
  });

  gallery.classList.toggle("few", cards.length === 1);
  find("controls").hidden = cards.length < 2;
  document.querySelectorAll(".frame").forEach((frame) => place(frame, 50));
  arrange();
})();
