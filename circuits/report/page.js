// Tables sort by a click on a column; pointing at a node shows its edges alone. The page reads without this.
"use strict";
for (const table of document.querySelectorAll("table[data-table]")) {
  const body = table.tBodies[0];
  table.querySelectorAll("thead th").forEach((head, column) => {
    if (body.rows.length < 2 || body.rows[0].cells[column].querySelector("ul")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const numeric = head.classList.contains("number");
      const descending = head.getAttribute("aria-sort") !== (numeric ? "descending" : "ascending") === numeric;
      const key = (row) => row.cells[column].dataset.value;
      const compare = numeric
        ? (a, b) => (parseFloat(key(a)) || 0) - (parseFloat(key(b)) || 0)
        : (a, b) => key(a).localeCompare(key(b));
      const rows = [...body.rows].sort((a, b) => (descending ? compare(b, a) : compare(a, b)));
      for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      body.append(...rows);
    });
  });
}
for (const node of document.querySelectorAll("svg :is(.node, .label, .hyperedge, .sign)")) {
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
