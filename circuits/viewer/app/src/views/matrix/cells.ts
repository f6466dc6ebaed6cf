/** Cells of the matrix layer × layer, and the pairs of the document that are in one. */
import type { MatrixPart } from "../../document";
import type { Model } from "../../model";
import { levels } from "../naming";

/** One cell: pairs with a member in each of two layers, that push up or that push down. */
export interface Cell {
  id: string;
  /** Places in `layers`, the lower first. */
  low: number;
  high: number;
  up: boolean;
  /** Sum over its pairs, not negative. */
  value: number;
  /** How many pairs of the run the two layers have, pushing up or down. */
  pairs: number;
  /** Column and row from the lower left: above the diagonal what pushes up, below it what pushes down. */
  x: number;
  y: number;
}

export function cells(matrix: MatrixPart): Cell[] {
  const found: Cell[] = [];
  for (let high = 0; high < matrix.layers.length; high++)
    for (let low = 0; low <= high; low++)
      for (const up of [true, false]) {
        const value = (up ? matrix.up : matrix.down)[high][low];
        if (!value) continue;
        const [x, y] = up ? [low, high] : [high, low];
        const id = `${low}·${high}${up ? "+" : "−"}`;
        found.push({ id, low, high, up, value: Math.abs(value), pairs: matrix.pairs[high][low], x, y });
      }
  return found;
}

/** The level a label of the matrix stands for: "words" is that of embeddings, "L3" layer 3. */
export function levelOf(label: string): number {
  const found = /(\d+)$/.exec(label);
  return found ? Number(found[1]) : -1;
}

export interface Inside {
  /** Rows of the hyperedge table that are in the cell, in its direction; the strongest first. */
  rows: number[];
  /** How many pairs of the document are in these two layers, whatever their direction. */
  held: number;
}

/** The pairs of the document with a member, or a part of one, in each of a cell's two layers. */
export function inside(model: Model, matrix: MatrixPart, cell: Cell): Inside {
  const table = model.graph.hyperedges;
  const [low, high] = [levelOf(matrix.layers[cell.low]), levelOf(matrix.layers[cell.high])];
  const known = new Map<string, Map<number, number>>();
  const stands = (member: string) => {
    const found = known.get(member) ?? levels(model, member);
    known.set(member, found);
    return found;
  };
  const all = table.members.map((_, row) => row).filter((row) => {
    if (table.order[row] !== 2 || table.members[row].length !== 2) return false;
    if (table.share[row] === null || table.share[row] === 0) return false;
    const [one, other] = table.members[row].map(stands);
    return (one.has(low) && other.has(high)) || (one.has(high) && other.has(low));
  });
  const rows = all.filter((row) => table.weight[row] > 0 === cell.up);
  rows.sort((one, other) => (table.share[other] ?? 0) - (table.share[one] ?? 0) || one - other);
  return { rows, held: all.length };
}
