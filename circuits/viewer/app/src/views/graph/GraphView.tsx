import type { Store } from "../../store";

export function GraphView({ store }: { store: Store }) {
  return <p>{store.visible.value.size} nodes</p>;
}
