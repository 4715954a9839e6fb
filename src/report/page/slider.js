"use strict";
// The divider between two pictures, a slider for pointer and keyboard: for the report and for the web page.
// Serves every .frame inside `root`, now and later. Returns place(frame, percent), which moves one.
function dividers(root) {
  const clamp = (value) => Math.min(100, Math.max(0, value));

  function place(frame, value) {
    const divider = frame.querySelector("[role=slider]");
    const left = frame.querySelector(".label.before").textContent.toLowerCase();
    const percent = Math.round(clamp(value));
    frame.style.setProperty("--x", clamp(value).toFixed(2));
    divider.setAttribute("aria-valuenow", percent);
    divider.setAttribute("aria-valuetext", percent + " % " + left + ", " + (100 - percent) + " % dehazed");
  }

  const KEYS = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10, Home: -100, End: 100 };
  root.addEventListener("keydown", (event) => {
    const change = KEYS[event.key];
    if (!change || event.altKey || event.ctrlKey || event.metaKey || !event.target.matches("[role=slider]")) return;
    event.preventDefault();
    place(event.target.parentElement, Number(event.target.getAttribute("aria-valuenow")) + change);
  });

  let drag = null;
  function follow(event) {
    const box = drag.frame.getBoundingClientRect();
    drag.moved = true;
    place(drag.frame, ((event.clientX - box.left) / box.width) * 100);
  }
  root.addEventListener("pointerdown", (event) => {
    const frame = event.target.closest(".frame");
    if (!frame || event.button !== 0 || !event.isPrimary) return;
    drag = { frame, id: event.pointerId, x: event.clientX, moved: false };
    frame.setPointerCapture(event.pointerId);
    frame.querySelector("[role=slider]").focus({ preventScroll: true });
    if (event.pointerType === "touch") return; // may become a vertical scroll: wait for a sideways move
    event.preventDefault();
    follow(event);
  });
  root.addEventListener("pointermove", (event) => {
    if (!drag || event.pointerId !== drag.id) return;
    if (drag.moved || Math.abs(event.clientX - drag.x) > 3) follow(event);
  });
  root.addEventListener("pointerup", (event) => {
    if (!drag || event.pointerId !== drag.id) return;
    if (!drag.moved) follow(event);
    drag = null;
  });
  root.addEventListener("pointercancel", () => { drag = null; });
  return place;
}
