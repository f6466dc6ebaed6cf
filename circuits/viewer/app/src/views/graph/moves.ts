/** Where the arrow keys go: by token, by layer. */
import type { Layout } from "../../layout";

export type Way = "left" | "right" | "up" | "down" | "first" | "last";

/**
 * The node that lies next to one in a direction, or null at the edge. Left and right go along the layer: through
 * the cell by influence, then to the next token's. Up and down go along the token: to the next line of the cell,
 * then to the next layer at which this token has nodes; where it has none any more, to the nearest node beyond.
 */
export function neighbour(layout: Layout, row: number, way: Way): number | null {
  const here = layout.at.get(row);
  if (!here) return null;
  const all = [...layout.at];
  if (way !== "up" && way !== "down") {
    const along = all
      .filter(([, point]) => point.band === here.band)
      .sort(([, one], [, other]) => one.column - other.column || one.place - other.place)
      .map(([other]) => other);
    if (way === "first") return along[0];
    if (way === "last") return along[along.length - 1];
    return along[along.indexOf(row) + (way === "right" ? 1 : -1)] ?? null;
  }
  const ahead = (y: number) => (way === "up" ? here.y - y : y - here.y);
  const beyond = all.filter(([, point]) => ahead(point.y) > 0.5);
  const same = beyond.filter(([, point]) => point.column === here.column);
  const choice = same.length > 0 ? same : beyond;
  let best: number | null = null;
  let least = [Infinity, Infinity];
  for (const [other, point] of choice) {
    const away = [ahead(point.y), Math.abs(point.x - here.x)];
    if (away[0] < least[0] - 0.5 || (Math.abs(away[0] - least[0]) <= 0.5 && away[1] < least[1])) {
      best = other;
      least = away;
    }
  }
  return best;
}
