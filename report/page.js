// What moves in the report: its light, its tables and the gallery of nearest pairs. No library.
"use strict";

const root = document.documentElement;
const byId = (id) => document.getElementById(id);
const dataOf = (id) => JSON.parse(byId(id)?.textContent || "null");

// Light or dark: as the system wants, until the reader chooses.
const darkSystem = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : darkSystem.matches);
function lightChanged() {
  byId("theme").textContent = isDark() ? "Light colours" : "Dark colours";
}
byId("theme").addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  lightChanged();
});
darkSystem.addEventListener("change", lightChanged);
lightChanged();

// One of several figures.
for (const choice of document.querySelectorAll(".choice")) {
  const figures = choice.querySelectorAll(":scope > figure");
  choice.querySelector(":scope > label select")?.addEventListener("change", (event) => {
    figures.forEach((figure, i) => { figure.hidden = i !== event.target.selectedIndex; });
  });
}

// Tables: a press on a heading sorts, another one turns the order; what has no number goes last.
function sortTable(table, column, descending) {
  const value = (row) => {
    const cell = row.cells[column];
    return cell.dataset.key === undefined ? cell.textContent : Number(cell.dataset.key);
  };
  const compare = (a, b) => {
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    const order = typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
    return descending ? -order : order;
  };
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => [value(row), row]);
  body.append(...rows.sort((a, b) => compare(a[0], b[0])).map(([, row]) => row));
}
for (const heading of document.querySelectorAll("thead th")) {
  heading.querySelector("button").addEventListener("click", () => {
    const descending = heading.getAttribute("aria-sort") === "ascending";
    const table = heading.closest("table");
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    sortTable(table, heading.cellIndex, descending);
  });
}
for (const input of document.querySelectorAll(".filter input")) {
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    for (const row of input.closest(".table").querySelector("tbody").rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
}

// Where the reader is.
const links = new Map(Array.from(document.querySelectorAll("nav a"), (link) => [link.hash.slice(1), link]));
const reading = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    links.forEach((link) => link.removeAttribute("aria-current"));
    links.get(target.id)?.setAttribute("aria-current", "true");
  }
}, { rootMargin: "-20% 0px -75% 0px" });
document.querySelectorAll("main > section").forEach((section) => reading.observe(section));

// The gallery. Distances come as float64, so that the share is the study's to the last sample.
function numbers(text) {
  return new Float64Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer).sort();
}

function wilson(count, total) {
  const z2 = 1.959963984540054 ** 2;
  const share = count / total;
  const centre = (share + z2 / (2 * total)) / (1 + z2 / total);
  const half = Math.sqrt(z2 * (share * (1 - share) + z2 / (4 * total)) / total) / (1 + z2 / total);
  return [count === 0 ? 0 : centre - half, count === total ? 1 : centre + half];
}

const atMost = (sorted, limit) => {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= limit) low = middle + 1; else high = middle;
  }
  return low;
};

function startGallery({ entries, controls }) {
  const form = byId("gallery-controls");
  const slider = byId("threshold");
  const keys = ["dataset", "generator", "space", "size"];
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  let entry, samples, heldOut;

  function show(threshold) {
    const count = atMost(samples, threshold);
    const [low, high] = wilson(count, samples.length);
    byId("threshold-value").textContent = threshold.toFixed(4);
    slider.setAttribute("aria-valuetext", threshold.toFixed(4));
    byId("share").textContent = `${percent(count / samples.length)} of ${samples.length.toLocaleString("en")} samples are copies (95 % interval ${percent(low)} to ${percent(high)}).`;
    byId("chance").textContent = `By chance, among ${heldOut.length.toLocaleString("en")} images that the generator never saw: ${heldOut.length ? percent(atMost(heldOut, threshold) / heldOut.length) : "none held out"}.`;
    document.querySelectorAll(".pairs li").forEach((item, i) => {
      const { sample, training, distance } = entry.pairs[i];
      const copy = distance <= threshold;
      item.classList.toggle("copy", copy);
      item.querySelector(".pair").setAttribute("aria-label", `Sample ${sample} above training image ${training}: distance ${distance.toFixed(3)}${copy ? ", a copy" : ""}`);
      item.querySelector("span").textContent = `${copy ? "✕ " : ""}${distance.toFixed(3)}`;
    });
    const line = document.querySelector(".cumulative .at");
    const x = 1000 * threshold / Number(slider.max);
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
  }

  // Share at or below each distance, as a step line in a box of 1000 by 100.
  function steps(sorted, most) {
    const every = Math.max(1, Math.floor(sorted.length / 400));
    let path = "M 0 100";
    for (let i = 0; i < sorted.length; i += every) path += ` H ${(1000 * sorted[i] / most).toFixed(1)} V ${(100 - 100 * (i + 1) / sorted.length).toFixed(2)}`;
    return `${path} H 1000 V ${sorted.length ? 0 : 100}`;
  }

  function choose() {
    entry = entries.find((entry) => keys.every((key) => String(entry[key]) === form.elements[key].value));
    samples = numbers(entry.distances);
    heldOut = numbers(controls[entry.control]);
    const most = Math.max(samples.at(-1), heldOut.at(-1) ?? 0);
    slider.min = 0;
    slider.max = most;
    slider.step = most / 500;
    const list = document.querySelector(".pairs");
    list.style.setProperty("--sheet", `url("${entry.sheet}")`);
    list.style.setProperty("--across", `${100 * entry.pairs.length}%`);
    list.replaceChildren(...entry.pairs.map((_, i) => {
      const item = document.createElement("li");
      const x = entry.pairs.length > 1 ? 100 * i / (entry.pairs.length - 1) : 0;
      item.innerHTML = `<div class="pair" role="img"><i style="background-position:${x}% 0"></i><i style="background-position:${x}% 100%"></i></div><span></span>`;
      return item;
    }));
    document.querySelector(".cumulative").innerHTML = `<svg viewBox="0 0 1000 100" preserveAspectRatio="none" aria-hidden="true"><rect class="frame" width="1000" height="100" vector-effect="non-scaling-stroke"/><path class="held-out" vector-effect="non-scaling-stroke" d="${steps(heldOut, most)}"/><path class="samples" vector-effect="non-scaling-stroke" d="${steps(samples, most)}"/><line class="at" vector-effect="non-scaling-stroke" y1="0" y2="100"/></svg><p><span class="key"></span>share of samples at or below the threshold <span class="key held-out"></span>share of held-out images</p>`;
    document.querySelector(".presets").replaceChildren(...entry.thresholds.map(({ label, distance }) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = `${label}: ${distance.toFixed(4)}`;
      button.addEventListener("click", () => { slider.value = distance; show(distance); });
      return button;
    }));
    const leading = entry.thresholds[0].distance;
    slider.value = leading;
    show(leading);
  }

  for (const key of keys) {
    const select = form.elements[key];
    const values = [...new Set(entries.map((entry) => String(entry[key])))];
    select.replaceChildren(...values.map((value) => new Option(key === "size" ? Number(value).toLocaleString("en") : value, value)));
    select.closest("label").hidden = values.length === 1;
    select.addEventListener("change", () => { offer(); choose(); });
  }
  // Data sets differ in their sizes.
  function offer() {
    const sizes = form.elements.size;
    const here = new Set(entries.filter((entry) => entry.dataset === form.elements.dataset.value).map((entry) => String(entry.size)));
    for (const option of sizes.options) option.disabled = option.hidden = !here.has(option.value);
    if (sizes.selectedOptions[0]?.disabled) sizes.value = [...here][0];
  }
  slider.addEventListener("input", () => show(Number(slider.value)));
  offer();
  choose();
}
const galleryData = dataOf("gallery-data");
if (galleryData) startGallery(galleryData);
