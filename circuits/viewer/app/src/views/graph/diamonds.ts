/** Where the diamonds of combinations stand: between members and target, over no node and no other diamond. */
import type { Layout, Point } from "../../layout";
import type { Model } from "../../model";
import type { Label } from "./labelling";

export interface Diamond {
  combination: number;
  x: number;
  y: number;
  /** Nodes its members are, or consist of, so far as shown. */
  members: Point[];
  target: Point;
}

/** Of a member that consists of many nodes, so many are joined. */
const MOST_JOINED = 6;
const CELL = { width: 40, height: 22 };

export function placeDiamonds(
  model: Model,
  layout: Layout,
  combinations: readonly number[],
  labels: readonly Label[],
  scale: number,
): Diamond[] {
  const taken = new Set<string>();
  for (const { x, y, width } of labels)
    for (let at = x; at < x + width + CELL.width; at += CELL.width)
      for (const dy of [-5 / scale, 5 / scale]) taken.add(keyOf(cellAt(Math.min(at, x + width), y + dy)));
  for (const { x, y, r } of layout.at.values())
    for (const dx of [-r, r]) for (const dy of [-r, r]) taken.add(keyOf(cellAt(x + dx, y + dy)));
  const placed: Diamond[] = [];
  for (const combination of combinations) {
    const members = model.graph.hyperedges.members[combination].flatMap((name) => pointsOf(model, layout, name));
    const target = pointsOf(model, layout, model.graph.hyperedges.target[combination])[0];
    if (members.length === 0 || !target) continue;
    const x = mean(members.map((point) => point.x)) * 0.5 + target.x * 0.5;
    const y = mean(members.map((point) => point.y)) * 0.45 + target.y * 0.55;
    const cell = freeCell(taken, cellAt(x, y), layout);
    taken.add(keyOf(cell));
    placed.push({
      combination,
      x: (cell[0] + 0.5) * CELL.width,
      y: (cell[1] + 0.5) * CELL.height,
      members,
      target,
    });
  }
  return placed;
}

function pointsOf(model: Model, layout: Layout, name: string): Point[] {
  return model
    .rowsOf(name)
    .sort((one, other) => model.influence(other) - model.influence(one))
    .map((row) => layout.at.get(row))
    .filter((point): point is Point => point !== undefined)
    .slice(0, MOST_JOINED);
}

function mean(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function cellAt(x: number, y: number): [number, number] {
  return [Math.floor(x / CELL.width), Math.floor(y / CELL.height)];
}

function keyOf([column, line]: [number, number]): string {
  return `${column} ${line}`;
}

/** The nearest cell nothing stands in, ring by ring around where it should be. */
function freeCell(taken: ReadonlySet<string>, wanted: [number, number], layout: Layout): [number, number] {
  const columns = Math.ceil(layout.width / CELL.width);
  const lines = Math.ceil(layout.height / CELL.height);
  for (let ring = 0; ring <= Math.max(columns, lines); ring++) {
    let best: [number, number] | null = null;
    let least = Infinity;
    for (let dx = -ring; dx <= ring; dx++)
      for (let dy = -ring; dy <= ring; dy++) {
        if (Math.max(Math.abs(dx), Math.abs(dy)) !== ring) continue;
        const cell: [number, number] = [wanted[0] + dx, wanted[1] + dy];
        if (cell[0] < 0 || cell[1] < 0 || cell[0] >= columns || cell[1] >= lines || taken.has(keyOf(cell))) continue;
        const away = (dx * CELL.width) ** 2 + (dy * CELL.height) ** 2;
        if (away < least) {
          least = away;
          best = cell;
        }
      }
    if (best) return best;
  }
  return wanted;
}
