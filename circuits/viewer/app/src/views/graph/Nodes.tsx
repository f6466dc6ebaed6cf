/** Nodes as things that can be focused and pressed; what is lit or dimmed is set beside, without drawing anew. */
import { Component } from "preact";
import type { Point } from "../../layout";
import { Glyph } from "./Glyph";
import { spoken } from "./names";
import type { Scene } from "./scene";

export function Nodes({ scene, stop }: { scene: Scene; stop: number | null }) {
  const { store } = scene;
  const { node, kind } = store.model.graph.nodes;
  const degrees = scene.degrees.value;
  const marks = store.groupMarks.value;
  return (
    <g class="cv-g-nodes">
      {ordered(scene).map(([row, point]) => {
        const mark = marks.get(store.groupOf.value.get(node[row]) ?? "");
        return (
          <Node
            key={node[row]}
            row={row}
            name={node[row]}
            kind={kind[row]}
            x={point.x}
            y={point.y}
            r={point.r}
            says={spoken(store, row, degrees.get(row))}
            colour={mark ? `var(--group-${mark.colour})` : ""}
            letter={mark?.letter ?? ""}
            pinned={store.pinned.value.has(node[row])}
            selected={store.selected.value === node[row]}
            stop={stop === row}
          />
        );
      })}
    </g>
  );
}

interface NodeProps {
  row: number;
  name: string;
  kind: Parameters<typeof Glyph>[0]["kind"];
  x: number;
  y: number;
  r: number;
  says: string;
  /** Of its group; empty where it is in none. */
  colour: string;
  letter: string;
  pinned: boolean;
  selected: boolean;
  /** Whether it is where the Tab key enters. */
  stop: boolean;
}

/** Drawn again only where something of it changed: there are thousands. */
class Node extends Component<NodeProps> {
  override shouldComponentUpdate(next: NodeProps): boolean {
    const keys = Object.keys(next) as (keyof NodeProps)[];
    return keys.some((key) => next[key] !== this.props[key]);
  }

  override render() {
    const { row, name, kind, x, y, r, says, colour, letter, pinned, selected, stop } = this.props;
    return (
      <g
        class="cv-g-node"
        transform={`translate(${x.toFixed(1)},${y.toFixed(1)})`}
        role="button"
        aria-roledescription="node"
        aria-label={says}
        aria-pressed={selected}
        tabindex={stop ? 0 : -1}
        data-row={row}
        data-node={name}
      >
        <circle class="cv-g-ring" style={colour ? { stroke: colour } : undefined} r={r + 2.5} />
        <Glyph kind={kind} r={r} />
        {letter && (
          <text class="cv-g-letter" y={0} font-size={Math.max(7.5, Math.min(11, r * 1.35))}>
            {letter}
          </text>
        )}
        {pinned && <circle class="cv-g-pin" cx={r * 0.75 + 2} cy={-r * 0.75 - 2} r={3} />}
      </g>
    );
}
}

/** In reading order: layer by layer from the words up, by token, by influence. */
function ordered(scene: Scene): [number, Point][] {
  return [...scene.layout.value.at].sort(
    ([, one], [, other]) => other.band - one.band || one.column - other.column || one.place - other.place,
  );
}
