// Tables sort by a click on a column; pointing at a node shows its edges alone; the numbers can be taken
// along. The page reads without this.
"use strict";
for (const table of document.querySelectorAll("table[data-table]")) {
  const body = table.tBodies[0];
  table.querySelectorAll("thead th").forEach((head, column) => {
    if (body.rows.length < 2 || body.rows[0].cells[column].querySelector("ul")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    const numeric = head.classList.contains("number");
    const key = (row) => row.cells[column].dataset.value;
    const compare = (a, b) => (numeric ? parseFloat(key(a)) - parseFloat(key(b)) : key(a).localeCompare(key(b)));
    button.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") !== (numeric ? "descending" : "ascending") === numeric;
      const known = [...body.rows].filter((row) => key(row) !== "");
      const blank = [...body.rows].filter((row) => key(row) === "");
      known.sort((a, b) => (descending ? compare(b, a) : compare(a, b)));
      for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      body.append(...known, ...blank);
    });
  });
}
for (const node of document.querySelectorAll("figure svg :is(.node, .label, .hyperedge, .sign)")) {
  const svg = node.ownerSVGElement;
  const { node: name, hyperedge } = node.dataset;
  const mark = (lit) => {
    svg.classList.toggle("pointing", lit);
    for (const line of svg.querySelectorAll(".edge, .join")) {
      const { source, target, node: end, hyperedge: of } = line.dataset;
      const touches = hyperedge ? of === hyperedge : source === name || target === name || end === name;
      line.classList.toggle("lit", lit && touches);
    }
  };
  node.addEventListener("pointerenter", () => mark(true));
  node.addEventListener("pointerleave", () => mark(false));
}

// On paper all is unfolded, and afterwards as it was.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("main details:not([open])")].filter((one) => !one.closest(".circuits-viewer"));
  for (const one of folded) one.open = true;
});
addEventListener("afterprint", () => {
  for (const one of folded) one.open = false;
});

// The interactive graph takes the still picture's place; on paper the still picture takes it back.
const place = document.getElementById("circuits-viewer");
if (place) {
  const kept = document.createElement("div");
  kept.className = "for-print";
  new MutationObserver((changes, observer) => {
    const still = changes.flatMap((change) => [...change.removedNodes]).filter((node) => node.nodeName === "FIGURE");
    if (!still.length) return;
    kept.append(...still);
    place.after(kept);
    place.classList.add("live");
    observer.disconnect();
  }).observe(place, { childList: true });
}

// Numbers as files, made of the document the page holds, digit for digit.
const given = document.getElementById("circuits-document");
const line = (cells) =>
  cells
    .map((value) => {
      if (value === null || value === undefined) return "";
      const text = typeof value === "object" ? JSON.stringify(value) : String(value);
      return typeof value === "number" || typeof value === "boolean" ? text : `"${text.replaceAll('"', '""')}"`;
    })
    .join(",");
const csv = (graph, part) => {
  const columns = { ...graph[part] };
  if (part === "edges")
    for (const end of ["source", "target"]) columns[end] = columns[end].map((row) => graph.nodes.node[row]);
  const names = Object.keys(columns);
  const rows = columns[names[0]].map((_, row) => line(names.map((name) => columns[name][row])));
  return [names.join(","), ...rows].join("\r\n") + "\r\n";
};
const offer = (text, name, type) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
};
for (const row of document.querySelectorAll(".downloads")) {
  if (!given) break;
  row.hidden = false;
  row.addEventListener("click", (event) => {
    const { csv: part, json, of } = event.target.dataset;
    if (part === undefined && json === undefined) return;
    const whole = JSON.parse(given.textContent);
    const graph = of === "against" ? whole.against : whole.graph;
    if (part) offer(csv(graph, part), `${graph.name}-${part}.csv`, "text/csv");
    else offer(given.textContent, `${whole.graph.name}.json`, "application/json");
  });
}
