/** The panels at the side of the view; below 700 px a sheet at its foot. */
import { Answer } from "./Answer";
import { Card } from "./card/Card";
import { Groups } from "./Groups";
import { Paths } from "./Paths";
import { openPanel, type PanelId, type Shell } from "./shell";
import { Tabs } from "./Tabs";

export const PANELS: { id: PanelId; name: string }[] = [
  { id: "card", name: "Node" },
  { id: "groups", name: "Groups" },
  { id: "paths", name: "Paths" },
  { id: "answer", name: "Answer" },
];

export function Side({ shell, id }: { shell: Shell; id: string }) {
  const open = shell.open.value;
  return (
    <aside class={open ? "cv-side cv-drawn" : "cv-side"} aria-label="Details">
      <div class="cv-side-head">
        <Tabs
          name="Panels"
          id={`${id}-side`}
          panel={`${id}-panel`}
          tabs={PANELS}
          chosen={shell.panel.value}
          choose={(panel) => openPanel(shell, panel as PanelId)}
        />
        <button
          type="button"
          class="cv-button cv-quiet"
          aria-expanded={open}
          aria-label={open ? "Fold the panel" : "Unfold the panel"}
          onClick={() => {
            shell.open.value = !open;
          }}
        >
          {open ? "×" : "+"}
        </button>
      </div>
      <div
        class="cv-panel"
        role="tabpanel"
        id={`${id}-panel`}
        aria-labelledby={`${id}-side-tab-${shell.panel.value}`}
        tabIndex={0}
        hidden={!open}
      >
        {open && <Panel shell={shell} id={id} />}
      </div>
    </aside>
  );
}

function Panel({ shell, id }: { shell: Shell; id: string }) {
  switch (shell.panel.value) {
    case "card":
      return <Card shell={shell} />;
    case "groups":
      return <Groups shell={shell} />;
    case "paths":
      return <Paths shell={shell} />;
    case "answer":
      return <Answer shell={shell} id={id} />;
  }
}
