/** The groups: their members, made by hand or by rule, and saved for `circuits group`. */
import { useState } from "preact/hooks";
import { count, short, shown } from "../format";
import { dropped, groupFile, type Groups as Sets, removed, renamed, RULES } from "../groups";
import "../style/groups.css";
import { NodeRow } from "./NodeRow";
import { saved } from "./save";
import type { Shell } from "./shell";

export function Groups({ shell }: { shell: Shell }) {
  const { store } = shell;
  const groups = store.groups.value;
  const names = Object.keys(groups);
  const set = (next: Sets, told: string) => {
    store.groups.value = next;
    store.told.value = told;
  };
  return (
    <div class="cv-groups">
      <h3 class="cv-panel-title" tabIndex={-1}>
        Groups <span class="cv-count">{count(names.length)}</span>
      </h3>
      <div class="cv-group-tools">
        <button
          type="button"
          class="cv-button cv-framed"
          aria-haspopup="dialog"
          aria-keyshortcuts="G"
          title="Group the pinned and the selected nodes (G)"
          onClick={() => {
            store.overlay.value = "group";
          }}
        >
          Group by hand <kbd aria-hidden="true">G</kbd>
        </button>
        <RuleChoice shell={shell} set={set} />
      </div>
      {names.length === 0 && (
        <p class="cv-muted">
          None. Pin nodes and group them, or choose a rule above. <code>circuits group</code> finds groups by what
          features read and write.
        </p>
      )}
      <ul class="cv-rows">
        {names.map((name) => (
          <Group key={name} shell={shell} name={name} set={set} />
        ))}
      </ul>
      {names.length > 0 && (
        <p class="cv-group-foot">
          <button
            type="button"
            class="cv-button cv-framed"
            onClick={() => saved(groupFile(store.model, groups), "groups.json", "application/json")}
          >
            Save as JSON
          </button>
          <span class="cv-muted cv-fine">
            <code>circuits group RUN --import groups.json --save</code> puts them into the run.
          </span>
        </p>
      )}
    </div>
  );
}

type Set = (next: Sets, told: string) => void;

function RuleChoice({ shell, set }: { shell: Shell; set: Set }) {
  return (
    <label class="cv-rule">
      <span class="cv-muted">or all at once</span>
      <select
        value=""
        onChange={(event) => {
          const rule = RULES.find(({ id }) => id === event.currentTarget.value);
          event.currentTarget.value = "";
          if (!rule) return;
          const found = rule.groups(shell.store.model);
          set(found, `${count(Object.keys(found).length)} groups: ${rule.name.toLowerCase()}`);
        }}
      >
        <option value="">by rule …</option>
        {RULES.map(({ id, name }) => (
          <option key={id} value={id}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

interface GroupProps {
  shell: Shell;
  name: string;
  set: Set;
}

function Group({ shell, name, set }: GroupProps) {
  const { store } = shell;
  const [open, setOpen] = useState(false);
  const mark = store.groupMarks.value.get(name);
  return (
    <li class="cv-group">
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>
          <span class={`cv-badge cv-group-${mark?.colour ?? 0}`} aria-hidden="true">
            {mark?.letter}
          </span>
          <bdi class="cv-text">{shown(name)}</bdi>
          <span class="cv-count">{count(store.groups.value[name].length)}</span>
        </summary>
        {open && <Inside shell={shell} name={name} set={set} />}
      </details>
    </li>
  );
}

/** What is done with a group, why it is one, and its members. */
function Inside({ shell, name, set }: GroupProps) {
  const { store } = shell;
  const groups = store.groups.value;
  const members = groups[name];
  const evidence = store.model.graph.concepts.find((concept) => concept.name === name)?.evidence ?? [];
  return (
    <>
      <Tools shell={shell} name={name} set={set} />
      {evidence.length > 0 && (
        <ul class="cv-because">
          {evidence.map((line) => (
            <li key={line}>
              <bdi>{shown(line)}</bdi>
            </li>
          ))}
        </ul>
      )}
      <ul class="cv-rows">
        {members.map((node) => (
          <li key={node} class="cv-grouped">
            <NodeRow shell={shell} node={node} />
            <button
              type="button"
              class="cv-button cv-quiet"
              aria-label={`Take ${short(node)} out of ${short(name)}`}
              title="Take it out of the group"
              onClick={() => {
                set(dropped(groups, name, node), `${short(node)} is out of ${short(name)}`);
                toTitle(shell);
              }}
            >
              ×
            </button>
          </li>
        ))}
      </ul>
    </>
  );
}

function Tools({ shell, name, set }: GroupProps) {
  const { lit, groups } = shell.store;
  const [naming, setNaming] = useState(false);
  const what = `group ${name}`;
  const on = lit.value?.what === what;
  if (naming)
    return (
      <Rename
        name={name}
        give={(to) => {
          const next = renamed(groups.value, name, to);
          if (next) set(next, `${short(name)} is now ${short(to)}`);
          setNaming(false);
          toTitle(shell);
        }}
      />
    );
  return (
    <p class="cv-group-tools">
      <button
        type="button"
        class="cv-button cv-framed"
        aria-pressed={on}
        onClick={() => {
          lit.value = on ? null : { nodes: new Set(groups.value[name]), edges: new Set(), what };
        }}
      >
        Light
      </button>
      <button type="button" class="cv-button cv-framed" onClick={() => setNaming(true)}>
        Rename
      </button>
      <button
        type="button"
        class="cv-button cv-framed"
        onClick={() => {
          set(removed(groups.value, name), `${short(name)} is no group any more`);
          toTitle(shell);
        }}
      >
        Remove
      </button>
    </p>
  );
}

/** Where the focus goes when what had it is gone. */
function toTitle(shell: Shell): void {
  requestAnimationFrame(() => shell.root?.querySelector<HTMLElement>(".cv-panel-title")?.focus());
}

function Rename({ name, give }: { name: string; give: (to: string) => void }) {
  return (
    <form
      class="cv-rename"
      onSubmit={(event) => {
        event.preventDefault();
        give(String(new FormData(event.currentTarget).get("name") ?? ""));
      }}
    >
      <input
        name="name"
        class="cv-input"
        aria-label={`New name of ${short(name)}`}
        defaultValue={name}
        maxLength={200}
        ref={(field) => {
          if (field && !field.dataset["seen"]) {
            field.dataset["seen"] = "yes";
            field.select();
          }
        }}
        onKeyDown={(event) => {
          if (event.key !== "Escape") return;
          event.stopPropagation();
          give("");
        }}
      />
      <button type="submit" class="cv-button cv-framed">
        Rename
      </button>
    </form>
  );
}
