/** Where everything stands in the picture of combinations: members left, diamonds in the middle, targets right. */
import type { Model } from "../../model";
import type { Combination } from "../combination";
import { inOrder } from "../naming";

export interface Places {
  members: Map<string, number>;
  diamonds: Map<string, number>;
  targets: Map<string, number>;
  height: number;
}

/** Between diamonds, between names. */
export const PITCH = 26;
const LINE = 22;
const HEAD = 30;

/** Heights: diamonds in the given order, members by layer (the highest above) and token, targets by the mean of what acts on them. */
export function places(model: Model, shown: readonly Combination[]): Places {
  const members = inOrder(
    model,
    shown.flatMap((one) => one.members),
    true,
  );
  const mean = new Map<string, number[]>();
  shown.forEach((one, place) => mean.set(one.target, [...(mean.get(one.target) ?? []), place]));
  const at = (name: string) => {
    const all = mean.get(name) as number[];
    return all.reduce((sum, place) => sum + place, 0) / all.length;
  };
  const targets = [...mean.keys()].sort((one, other) => at(one) - at(other));
  const tallest = Math.max(shown.length * PITCH, members.length * LINE, targets.length * LINE);
  const middle = HEAD + tallest / 2;
  const spread = (names: readonly string[], pitch: number) =>
    new Map(names.map((name, place) => [name, middle + (place - (names.length - 1) / 2) * pitch] as const));
  // Few names stand as far apart as the diamonds beside them allow, but not so far that the eye loses them.
  const apart = (count: number) => Math.max(LINE, Math.min(3 * LINE, (shown.length * PITCH) / Math.max(count, 1)));
  return {
    members: spread(members, apart(members.length)),
    diamonds: spread(
      shown.map((one) => one.id),
      PITCH,
    ),
    targets: spread(targets, apart(targets.length)),
    height: HEAD + tallest + 8,
  };
}
