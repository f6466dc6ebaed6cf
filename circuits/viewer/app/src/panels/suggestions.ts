/** Questions of `circuits ask` that fit a graph and what is selected in it. */
import type { Model } from "../model";

export function suggestions(model: Model, selected: string | null): string[] {
  const target = model.graph.targets[0]?.text ?? "it";
  const node = selected ?? model.graph.nodes.node[model.byInfluence[0]] ?? "tok@0";
  return [
    `why ${target}`,
    "which pairs drive it",
    `paths from ${node} to ${target}`,
    `what breaks if ${node} is off`,
    `what if ${node} is doubled`,
    `what does ${node} need`,
    `what carries ${node} to ${target}`,
    `smallest set for 80% of ${target}`,
    `what is like ${node}`,
    "what is unexplained",
    "which concepts are there",
  ];
}
