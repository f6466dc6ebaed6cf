/** A row of tabs: one stop of the Tab key; arrows, Home and End move among them. */
import { useRef } from "preact/hooks";

interface TabsProps {
  name: string;
  /** Ids of tabs are `${id}-tab-${tab.id}`. */
  id: string;
  /** The id of the panel they fill. */
  panel: string;
  tabs: { id: string; name: string; faint?: boolean }[];
  chosen: string;
  choose: (id: string) => void;
}

export function Tabs({ name, id, panel, tabs, chosen, choose }: TabsProps) {
  const row = useRef<HTMLDivElement>(null);
  const at = Math.max(
    0,
    tabs.findIndex((tab) => tab.id === chosen),
  );
  const go = (event: KeyboardEvent) => {
    const last = tabs.length - 1;
    const to = { ArrowRight: at === last ? 0 : at + 1, ArrowLeft: at === 0 ? last : at - 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    choose(tabs[to].id);
    row.current?.querySelectorAll<HTMLElement>("[role=tab]")[to].focus();
  };
  return (
    <div class="cv-tabs" role="tablist" aria-label={name} ref={row} onKeyDown={go}>
      {tabs.map((tab, place) => (
        <button
          type="button"
          role="tab"
          key={tab.id}
          id={`${id}-tab-${tab.id}`}
          class={tab.faint ? "cv-tab cv-absent" : "cv-tab"}
          aria-selected={place === at}
          aria-controls={panel}
          tabIndex={place === at ? 0 : -1}
          onClick={() => choose(tab.id)}
        >
          {tab.name}
        </button>
      ))}
    </div>
  );
}
