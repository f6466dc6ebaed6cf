/** The shared state as the fragment of an address: `#view=matrix&node=2/168@7&pins=tok@7&share=0.9`. */
import type { SharedState } from "../host";

/** The longest list of groups an address carries. */
const LONGEST = 4_000;

/** The fragment for a state; groups are in it where they are not those of the document. */
export function written(state: SharedState, groupsAsGiven: boolean): string {
  const parts = new URLSearchParams({ view: state.view });
  if (state.selected !== null) parts.set("node", state.selected);
  for (const node of state.pinned) parts.append("pins", node);
  parts.set("share", String(state.threshold));
  const groups = JSON.stringify(state.groups);
  if (!groupsAsGiven && groups.length <= LONGEST) parts.set("groups", groups);
  return `#${parts.toString().replaceAll("%2F", "/").replaceAll("%40", "@").replaceAll("%3A", ":")}`;
}

/** The state a fragment tells of; null where it is no state but a place of the page. What it names wrongly is left out. */
export function read(fragment: string): Partial<SharedState> | null {
  if (!/(^#?|&)(view|node|pins|share)=/.test(fragment)) return null;
  const parts = new URLSearchParams(fragment.replace(/^#/, ""));
  const share = Number(parts.get("share") ?? "x");
  const view = parts.get("view");
  const groups = groupsIn(parts.get("groups"));
  return {
    ...(view === null ? {} : { view }),
    selected: parts.get("node"),
    pinned: parts.getAll("pins"),
    ...(share >= 0 && share <= 1 ? { threshold: share } : {}),
    ...(groups === null ? {} : { groups }),
  };
}

function groupsIn(text: string | null): Record<string, string[]> | null {
  try {
    const told: unknown = JSON.parse(text ?? "null");
    if (typeof told !== "object" || told === null || Array.isArray(told)) return null;
    const sound = Object.values(told).every((nodes) => Array.isArray(nodes) && nodes.every((one) => typeof one === "string"));
    return sound ? (told as Record<string, string[]>) : null;
  } catch {
    return null;
  }
}
