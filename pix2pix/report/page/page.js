"use strict";
const $ = (id) => document.getElementById(id);
const newButton = (textContent, onclick) => Object.assign(document.createElement("button"), { textContent, onclick });
const modified = (event) => event.ctrlKey || event.metaKey || event.altKey;
const body = $("items").tBodies[0];
const rows = [...body.rows];
const links = (row) => new Map([...row.querySelectorAll("a:has(img)")].map((a) => [a.closest("td").dataset.label, a]));
const shown = () => [...body.rows].filter((row) => !row.hidden);

// Sorting: a first click puts the worst on top, a second one the best; rows without a value stay at the end.
const byName = new Intl.Collator(undefined, { numeric: true }).compare;
const byScore = (a, b) => a - b || 0;

function sortBy(head) {
  const other = { ascending: "descending", descending: "ascending" };
  const direction = other[head.ariaSort] ?? head.dataset.sort;
  const sign = direction === "ascending" ? 1 : -1;
  const compare = head.classList.contains("name") ? byName : byScore;
  const value = (row) => row.cells[head.cellIndex].dataset.value;
  const missing = (row) => value(row) === undefined || value(row) === "NaN";
  const sorted = rows.toSorted((a, b) => missing(a) - missing(b) || sign * compare(value(a), value(b)));
  for (const cell of head.parentElement.cells) cell.removeAttribute("aria-sort");
  head.ariaSort = direction;
  body.append(...sorted);
}

function filter() {
  const plain = (text) => text.normalize("NFC").toLowerCase();
  const wanted = plain($("filter").value);
  for (const row of rows) row.hidden = !plain(row.cells[0].dataset.value).includes(wanted);
  const count = shown().length;
  $("count").value = count < rows.length ? `${count} of ${rows.length} images` : `${count} images`;
}

// The viewer: its state is the fragment of the address, so links, reload and Back work.
// #zoom=3&first=output shows one image of row 3, #compare=3&first=output&second=target two under a divider.
let current = null; // { row, images, first, second }, second null where one image is shown
let zoom = null; // device pixels per image pixel, null to fit the window

function go(state, replace) {
  const query = new URLSearchParams({ [state.second ? "compare" : "zoom"]: rows.indexOf(state.row) + 1 });
  query.set("first", state.first);
  if (state.second) query.set("second", state.second);
  if (replace) location.replace(`#${query}`);
  else location.hash = query;
}

function route() {
  const query = new URLSearchParams(location.hash.slice(1));
  const row = rows[(query.get("compare") ?? query.get("zoom")) - 1];
  const images = row && links(row);
  if (!images?.size) return $("viewer").close();
  const known = (label, otherwise) => (images.has(label) ? label : otherwise);
  const labels = [...images.keys()];
  const first = known(query.get("first"), labels.at(-2) ?? labels[0]);
  const second = query.has("compare") ? known(query.get("second"), labels.at(-1)) : null;
  current = { row, images, first, second };
  show();
}

function show() {
  const { row, images, first, second } = current;
  const list = shown(), place = list.indexOf(row), name = row.cells[0].dataset.value;
  const scores = [...row.querySelectorAll(".score[data-label]")].map((s) => `${s.dataset.label} ${s.textContent}`);
  $("caption").textContent = name;
  $("details").textContent = [`${place + 1} of ${list.length}`, ...scores].join(" · ");
  const options = [...images.keys()].map((label) => new Option(label, label));
  $("first").replaceChildren(...options);
  $("second").replaceChildren(new Option("nothing", ""), ...options.map((option) => option.cloneNode(true)));
  $("first").value = $("left-label").textContent = first;
  $("second").value = $("right-label").textContent = second ?? "";
  $("left").src = images.get(first).href;
  $("right").src = images.get(second ?? first).href;
  $("left").alt = `${first} of ${name}`;
  $("right").alt = `${second} of ${name}`;
  $("previous").disabled = place <= 0;
  $("next").disabled = place + 1 >= list.length;
  $("viewer").classList.toggle("comparing", second !== null);
  if (!$("viewer").open) {
    $("viewer").showModal();
    $("stage").focus();
  }
  layout();
}

function layout() {
  const { naturalWidth: width, naturalHeight: height } = $("left");
  if (!width || !$("viewer").open) return;
  const stage = $("stage"), density = window.devicePixelRatio;
  const fit = Math.min(stage.offsetWidth / width, stage.offsetHeight / height) * density;
  const scale = zoom ?? (fit < 1 ? fit : Math.floor(fit)); // enlarged pixels are all of one size
  const x = (stage.scrollLeft + stage.clientWidth / 2) / stage.scrollWidth;
  const y = (stage.scrollTop + stage.clientHeight / 2) / stage.scrollHeight;
  $("frame").style.width = `${(width * scale) / density}px`;
  $("frame").style.height = `${(height * scale) / density}px`;
  $("frame").classList.toggle("pixelated", scale > 1);
  stage.scrollTo(x * stage.scrollWidth - stage.clientWidth / 2, y * stage.scrollHeight - stage.clientHeight / 2);
  $("fit").textContent = `${Math.round(scale * 100)} %`;
  $("fit").dataset.scale = scale;
  $("left-label").textContent = `${current.first}, ${width} × ${height}`;
}

const zoomBy = (step) => {
  const power = Math.log2($("fit").dataset.scale);
  zoom = 2 ** Math.min(5, Math.max(-5, step > 0 ? Math.floor(power) + 1 : Math.ceil(power) - 1));
  layout();
};
const zoomToFit = () => ((zoom = null), layout());
const step = (by) => {
  const list = shown(), row = list[list.indexOf(current.row) + by];
  if (row) go({ ...current, row }, true);
};
const column = (by) => {
  const labels = [...current.images.keys()];
  go({ ...current, first: labels.at((labels.indexOf(current.first) + by) % labels.length) }, true);
};
const divide = (percent) => {
  $("divider").value = percent;
  $("frame").style.setProperty("--divider", `${$("divider").value}%`);
};
const keys = {
  ArrowLeft: () => step(-1), ArrowRight: () => step(1), ArrowUp: () => column(-1), ArrowDown: () => column(1),
  "+": () => zoomBy(1), "=": () => zoomBy(1), "-": () => zoomBy(-1), 0: zoomToFit,
};

// What needs the script appears with it.
$("tools").hidden = false;
for (const head of document.querySelectorAll("[data-sort]")) {
  const button = newButton(head.textContent, () => sortBy(head));
  button.title = head.classList.contains("name") ? "Sort by name" : `Sort by ${head.textContent}, worst first`;
  head.replaceChildren(button);
}
for (const row of rows) {
  const images = links(row), labels = [...images.keys()];
  for (const [first, link] of images) {
    link.onclick = (event) => {
      if (modified(event)) return; // the browser's own: a new tab, a download
      event.preventDefault();
      go({ row, first, second: null });
    };
  }
  if (labels.length < 2) continue;
  const [first, second] = labels.slice(-2);
  row.cells[0].append(newButton("Compare", () => go({ row, first, second })));
}
$("filter").oninput = filter;
$("width").oninput = () => document.documentElement.style.setProperty("--width", `${$("width").value}px`);
for (const id of ["first", "second"]) $(id).onchange = () => go({ ...current, [id]: $(id).value || null }, true);
$("divider").oninput = () => divide($("divider").value);
$("smaller").onclick = () => zoomBy(-1);
$("larger").onclick = () => zoomBy(1);
$("fit").onclick = zoomToFit;
$("previous").onclick = () => step(-1);
$("next").onclick = () => step(1);
$("close").onclick = () => $("viewer").close();
$("viewer").onclose = () => {
  if (/^#(zoom|compare)=/.test(location.hash)) history.replaceState(null, "", location.href.split("#")[0]);
  current?.images.get(current.first).focus({ preventScroll: true });
  current?.row.scrollIntoView({ block: "nearest" });
};
$("viewer").onkeydown = (event) => {
  const action = keys[event.key];
  if (!action || modified(event) || event.target.matches("input, select")) return;
  event.preventDefault();
  action();
};
$("frame").onpointerdown = (event) => $("frame").setPointerCapture(event.pointerId);
$("frame").onpointermove = (event) => {
  if (!$("frame").hasPointerCapture(event.pointerId)) return;
  const box = $("frame").getBoundingClientRect();
  if (current.second) divide((100 * (event.clientX - box.left)) / box.width);
  else if (event.pointerType === "mouse") $("stage").scrollBy(-event.movementX, -event.movementY);
};
$("left").onload = layout;
window.onresize = layout;
window.onhashchange = route;
divide(50);
route();
