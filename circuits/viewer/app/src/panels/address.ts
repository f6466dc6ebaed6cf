/** The shared state as the fragment of an address: `#view=matrix&node=2/168@7&pins=tok@7&share=0.9`. */
import type { SharedState } from "../host";

type Groups = SharedState["groups"];

/** The longest list of groups an address carries. */
const LONGEST = 8_000;

/** The fragment for a state; of groups what is otherwise than given: others with their nodes, missing ones as null. */
export function written(state: SharedState, given: Groups): string {
  const parts = new URLSearchParams({ view: state.view });
  if (state.selected !== null) parts.set("node", state.selected);
  for (const node of state.pinned) parts.append("pins", node);
  parts.set("share", String(state.threshold));
  const groups = JSON.stringify(changes(state.groups, given));
  if (groups !== "{}" && groups.length <= LONGEST) parts.set("groups", groups);
  return `#${parts.toString().replaceAll("%2F", "/").replaceAll("%40", "@").replaceAll("%3A", ":")}`;
}

/** The state a fragment tells of; null where it is no state but a place of the page. What it names wrongly is left out. */
export function read(fragment: string, given: Groups): Partial<SharedState> | null {
  if (!/(^#?|&)(view|node|pins|share)=/.test(fragment)) return null;
  const parts = new URLSearchParams(fragment.replace(/^#/, ""));
  const share = Number(parts.get("share") ?? "x");
  const view = parts.get("view");
  const groups = changed(given, parts.get("groups"));
  return {
    ...(view === null ? {} : { view }),
    selected: parts.get("node"),
    pinned: parts.getAll("pins"),
    ...(share >= 0 && share <= 1 ? { threshold: share } : {}),
    ...(groups === null ? {} : { groups }),
  };
}

function changes(groups: Groups, given: Groups): Record<string, string[] | null> {
  const other = Object.entries(groups).filter(
    ([name, nodes]) => !Object.hasOwn(given, name) || JSON.stringify(nodes) !== JSON.stringify(given[name]),
  );
  const gone = Object.keys(given).filter((name) => !Object.hasOwn(groups, name));
  return Object.fromEntries([...other, ...gone.map((name) => [name, null] as const)]);
}

/** The given groups with the changes an address tells of; null where it tells of none that make sense. */
function changed(given: Groups, text: string | null): Groups | null {
  try {
    const told: unknown = JSON.parse(text ?? "null");
    if (typeof told !== "object" || told === null || Array.isArray(told)) return null;
    const all = Object.entries({ ...given, ...told }).filter(([, nodes]) => nodes !== null);
    const sound = all.every(([, nodes]) => Array.isArray(nodes) && nodes.every((one) => typeof one === "string"));
    return sound ? (Object.fromEntries(all) as Groups) : null;
  } catch {
    return null;
  }
}
