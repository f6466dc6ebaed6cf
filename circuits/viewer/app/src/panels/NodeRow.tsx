/** A node in a list, as a button that moves the selection there. */
import type { ComponentChildren } from "preact";
import { shown, signed } from "../format";
import type { Shell } from "./shell";
import { placeOfNode, SHAPES } from "./words";

interface NodeRowProps {
  shell: Shell;
  node: string;
  /** A signed number before the name, and its part of the longest bar, 0 … 1. */
  weight?: number | undefined;
  part?: number | undefined;
  /** Instead of going to the node. */
  press?: () => void;
  children?: ComponentChildren;
}

export function NodeRow({ shell, node, weight, part, press, children }: NodeRowProps) {
  const { model } = shell.store;
  const row = model.rowOf.get(node);
  const name = row === undefined ? shown(node) : shown(model.graph.nodes.name[row]);
  const place = row === undefined ? "not among the nodes of this file" : placeOfNode(model, row);
  return (
    <button
      type="button"
      class="cv-node-row"
      data-node={node}
      disabled={row === undefined}
      title={`${name}\n${shown(node)}`.slice(0, 400)}
      onClick={press ?? (() => go(shell, node))}
      onMouseEnter={() => {
        shell.store.hovered.value = node;
      }}
      onMouseLeave={() => {
        shell.store.hovered.value = null;
      }}
    >
      {weight !== undefined && <Weight value={weight} part={part ?? 0} />}
      <span class="cv-shape" aria-hidden="true">
        {row === undefined ? "" : SHAPES[model.graph.nodes.kind[row]]}
      </span>
      <bdi class="cv-text cv-row-name">{name}</bdi>
      <bdi class="cv-text cv-row-place">{place}</bdi>
      {children}
    </button>
  );
}

/** A signed number with a bar: blue and whole up, orange and hatched down. */
export function Weight({ value, part }: { value: number; part: number }) {
  const way = value < 0 ? "cv-down" : "cv-up";
  return (
    <>
      <data class={`cv-weight ${way}`} value={String(value)}>
        {signed(value)}
      </data>
      <span class="cv-meter-room" aria-hidden="true">
        <span class={`cv-meter ${way}`} style={{ width: `${Math.max(2, 100 * part)}%` }} />
      </span>
    </>
  );
}

/** Selects a node and puts the focus on the head of its card. */
export function go(shell: Shell, node: string): void {
  shell.store.select(node);
  requestAnimationFrame(() => shell.root?.querySelector<HTMLElement>(".cv-card-title")?.focus());
}
