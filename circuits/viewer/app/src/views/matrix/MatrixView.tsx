/** Which layers act together: pairs of members summed by the layers they stand in. */
import { signal, type Signal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import type { MatrixPart } from "../../document";
import { count, percent, short } from "../../format";
import type { Store } from "../../store";
import { combination, KINDS, valueText } from "../combination";
import { chooseCombination, CombinationDetail } from "../Detail";
import { type MarkProps, Picture, sign } from "../svg";
import { SMALL, widthOf } from "../text";
import { type Cell, cells, inside } from "./cells";

const WIDE = 58;
const NARROW = 26;
/** Up to so many layers, cells hold numbers. */
const NUMBERED = 12;
const MARGIN = 8;
const AXIS = 58;
const BELOW = 46;
/** Opacity of the weakest cell. */
const LEAST = 0.1;

const opened = new WeakMap<Store, Signal<string | null>>();

function openedOf(store: Store): Signal<string | null> {
  const found = opened.get(store) ?? signal<string | null>(null);
  opened.set(store, found);
  return found;
}

export function MatrixView({ store }: { store: Store }) {
  const matrix = store.model.graph.matrix as MatrixPart;
  const open = openedOf(store);
  const all = useMemo(() => cells(matrix), [matrix]);
  const cell = all.find((one) => one.id === open.value) ?? null;
  return (
    <div class="cv-p-page">
      <p class="cv-p-counts">{summary(matrix)}</p>
      <div class="cv-p-beside">
        <Grid store={store} matrix={matrix} all={all} open={open} />
        {cell ? (
          <Pairs store={store} matrix={matrix} cell={cell} />
        ) : (
          <p class="cv-p-hint">Select a cell to see the pairs in it.</p>
        )}
      </div>
    </div>
  );
}

/** What the matrix sums, in words. */
function summary(matrix: MatrixPart): string {
  const pairs = matrix.pairs.flat().reduce((sum, value) => sum + value, 0);
  return (
    `Pairs of members by the layers they stand in, ${count(pairs)} in all, each as a share of what moves the targets. ` +
    "Above the diagonal those that together push up (blue), below it those that push down (orange, hatched)."
  );
}

/** “layer 2 with layer 0”. */
export function layersText(matrix: MatrixPart, { low, high }: Cell): string {
  const name = (label: string) => label.replace(/^L(\d+)$/, "layer $1");
  return low === high ? `within ${name(matrix.layers[low])}` : `${name(matrix.layers[low])} with ${name(matrix.layers[high])}`;
}

export function says(matrix: MatrixPart, cell: Cell): string {
  const way = cell.up ? "up" : "down";
  return `${layersText(matrix, cell)}: pairs pushing ${way} make up ${percent(cell.value)} (${count(cell.pairs)} ${cell.pairs === 1 ? "pair" : "pairs"} here, both ways)`;
}

interface GridProps {
  store: Store;
  matrix: MatrixPart;
  all: Cell[];
  open: Signal<string | null>;
}

function Grid({ store, matrix, all, open }: GridProps) {
  const n = matrix.layers.length;
  const size = n <= NUMBERED ? WIDE : NARROW;
  const left = MARGIN + AXIS;
  const bottom = MARGIN + n * size;
  const width = left + n * size + MARGIN;
  const largest = Math.max(...all.map((one) => one.value), 1e-300);
  const byId = new Map(all.map((one) => [one.id, one]));
  const lanes = Array.from({ length: n }, (_, place) => {
    const row = n - 1 - place;
    return all.filter((one) => one.y === row).sort((one, other) => one.x - other.x || Number(other.up) - Number(one.up)).map((one) => one.id);
  });
  return (
    <Picture
      label={`Matrix of ${n} × ${n} layers: ${all.length} cells hold pairs`}
      width={Math.max(width, 300)}
      height={bottom + BELOW + 24}
      along="row"
      lanes={lanes}
      place={(mark) => byId.get(mark)?.x ?? 0}
      says={(mark) => says(matrix, byId.get(mark) as Cell)}
      enter={(mark) => {
        open.value = open.value === mark ? null : mark;
        store.told.value = open.value === null ? "No cell selected" : `Selected: ${says(matrix, byId.get(mark) as Cell)}`;
      }}
      chosen={(mark) => mark === open.value}
    >
      {(mark, hatch) => (
        <>
          <Ground layers={matrix.layers} size={size} left={left} bottom={bottom} />
          {all.map((cell) => (
            <OneCell
              key={cell.id}
              cell={cell}
              mark={mark(cell.id)}
              hatch={hatch}
              strength={LEAST + (1 - LEAST) * Math.sqrt(cell.value / largest)}
              box={[left + cell.x * size, bottom - (cell.y + 1) * size, size]}
            />
          ))}
          <g aria-hidden="true" class="cv-p-axis">
            <line x1={left} y1={bottom} x2={left + n * size} y2={bottom - n * size} class="cv-p-diagonal" />
            <text x={left} y={bottom + BELOW + 16}>{`strongest: ${percent(largest)}`}</text>
          </g>
        </>
      )}
    </Picture>
  );
}

function Ground({ layers, size, left, bottom }: { layers: string[]; size: number; left: number; bottom: number }) {
  const n = layers.length;
  return (
    <g aria-hidden="true" class="cv-p-axis">
      <rect class="cv-p-band" x={left} y={bottom - n * size} width={n * size} height={n * size} />
      {layers.map((label, place) => {
        const name = label.replace(/^L(?=\d)/, "");
        const at = (place + 0.5) * size;
        const turned = name === "words" && size === NARROW;
        return (
          <g key={label}>
            <text x={left - 7} y={bottom - at + 4} text-anchor="end">
              {name}
            </text>
            <text
              x={turned ? 0 : left + at}
              y={turned ? 0 : bottom + 16}
              text-anchor={turned ? "end" : "middle"}
              transform={turned ? `translate(${left + at + 4},${bottom + 7}) rotate(-90)` : undefined}
            >
              {name}
            </text>
            <path class="cv-p-grid" d={`M${left},${bottom - place * size}h${n * size}M${left + place * size},${bottom}v${-n * size}`} />
          </g>
        );
      })}
      <text x={left + (n * size) / 2} y={bottom + (size === NARROW ? 44 : 36)} text-anchor="middle">
        layer
      </text>
      <text transform={`translate(${MARGIN + 8},${bottom - (n * size) / 2}) rotate(-90)`} text-anchor="middle">
        layer
      </text>
    </g>
  );
}

interface CellProps {
  cell: Cell;
  mark: MarkProps;
  hatch: string;
  strength: number;
  box: [number, number, number];
}

/** A square, or on the diagonal the half of one: upper left for what pushes up, lower right for down. */
function OneCell({ cell, mark, hatch, strength, box: [x, y, size] }: CellProps) {
  const half = cell.low === cell.high;
  const [a, b] = [1, size - 1];
  const corners = !half
    ? `M${x + a},${y + a}H${x + b}V${y + b}H${x + a}z`
    : cell.up
      ? `M${x + a},${y + b - 1}V${y + a}H${x + b - 1}z`
      : `M${x + b},${y + a + 1}V${y + b}H${x + a + 1}z`;
  const text = percent(cell.value);
  const aside = half ? (cell.up ? -size * 0.17 : size * 0.17) : 0;
  const room = half ? size * 0.56 : size - 4;
  const shown = size === WIDE && widthOf(text, SMALL) <= room;
  return (
    <g {...mark} class={`${mark.class} ${sign(cell.up ? 1 : -1)}`}>
      <path class="cv-p-cell" d={corners} style={{ fillOpacity: strength }} />
      {!cell.up && <path class="cv-p-cell-hatch" d={corners} style={{ fill: hatch }} />}
      {shown && (
        <text
          x={x + size / 2 + aside}
          y={y + size / 2 + aside + 4}
          text-anchor="middle"
          class={`cv-p-value${strength > 0.62 ? " cv-p-inverse" : ""}`}
          aria-hidden="true"
        >
          {text}
        </text>
      )}
    </g>
  );
}

/** The pairs of a cell that are in the document. */
function Pairs({ store, matrix, cell }: { store: Store; matrix: MatrixPart; cell: Cell }) {
  const { rows, held } = useMemo(() => inside(store.model, matrix, cell), [store, matrix, cell]);
  return (
    <section class="cv-p-detail" aria-label="Pairs of the selected cell">
      <h3>{layersText(matrix, cell)}</h3>
      <p>
        Pairs pushing {cell.up ? "up" : "down"} make up {percent(cell.value)}. {count(held)} of {count(cell.pairs)} pairs
        {held === 1 && cell.pairs === 1 ? " is" : " are"} in this file, {count(rows.length)} of them pushing{" "}
        {cell.up ? "up" : "down"}.
      </p>
      <ul class="cv-p-list">
        {rows.map((row) => {
          const one = combination(store.model, row, true);
          const id = store.model.graph.hyperedges.hyperedge[row];
          return (
            <li key={id}>
              <button
                type="button"
                class="cv-p-node"
                aria-pressed={store.combination.value === id}
                onClick={() => chooseCombination(store, row)}
              >
                <bdi class="cv-p-name">{short(one.text)}</bdi>
              </button>{" "}
              <span class={sign(one.weight)}>{valueText(one, true)}</span>{" "}
              <span class="cv-muted">{KINDS[one.kind]}</span>
            </li>
          );
        })}
      </ul>
      <CombinationDetail store={store} hint="Select a pair to see what it runs through." />
    </section>
  );
}
