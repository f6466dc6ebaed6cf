/** Asks for the name of a group made by hand, of what is pinned and selected. */
import { useState } from "preact/hooks";
import { count, short } from "../format";
import { grouped, refused } from "../groups";
import { Dialog } from "./Dialog";
import { openPanel, type Shell } from "./shell";
import { nameOf } from "./words";

export function GroupPrompt({ shell }: { shell: Shell }) {
  const { store } = shell;
  const [wrong, setWrong] = useState<string | null>(null);
  const selected = store.selected.value;
  const nodes = [...new Set([...store.pinned.value, ...(selected === null ? [] : [selected])])].filter((node) =>
    store.model.rowOf.has(node),
  );
  const close = () => {
    store.overlay.value = null;
  };
  const make = (name: string) => {
    const why = refused(store.model, store.groups.value, name);
    setWrong(why);
    if (why !== null) return;
    store.groups.value = grouped(store.groups.value, name, nodes);
    store.told.value = `Group ${short(name)}: ${count(nodes.length)} ${nodes.length === 1 ? "node" : "nodes"}`;
    openPanel(shell, "groups");
    close();
  };
  if (nodes.length === 0)
    return (
      <Dialog title="New group" close={close}>
        <p>
          Nothing is pinned or selected. Pin nodes with <kbd>P</kbd>, then group them with <kbd>G</kbd>.
        </p>
      </Dialog>
    );
  return (
    <Dialog title="New group" close={close}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          make(String(new FormData(event.currentTarget).get("name") ?? "").trim());
        }}
      >
        <p class="cv-muted">
          Of {count(nodes.length)} {nodes.length === 1 ? "node" : "nodes"}:{" "}
          <bdi>{nodes.slice(0, 4).map((node) => short(nameOf(store.model, node), 40)).join(", ")}</bdi>
          {nodes.length > 4 && ` and ${count(nodes.length - 4)} more`}
        </p>
        <label class="cv-field">
          Name
          <input class="cv-input" name="name" maxLength={200} autocomplete="off" autofocus aria-invalid={wrong !== null} />
        </label>
        {wrong !== null && (
          <p class="cv-wrong" role="alert">
            {wrong}
          </p>
        )}
        <p class="cv-dialog-foot">
          <button type="submit" class="cv-button cv-framed">
            Make the group
          </button>
        </p>
      </form>
    </Dialog>
  );
}
