/** The toolbar: views as tabs, picture or table, search, how much is shown, and switches. */
import type { ComponentChildren } from "preact";
import { VIEWS } from "../views";
import { CombineIcon, FullIcon, SearchIcon, ThemeIcon } from "./icons";
import type { Shell } from "./shell";
import { EdgeSlider, NodeSlider } from "./Sliders";
import { Tabs } from "./Tabs";

export function Toolbar({ shell, id }: { shell: Shell; id: string }) {
  const { store } = shell;
  const dark = (shell.theme.value ?? shell.outside.value) === "dark";
  return (
    <div class="cv-toolbar">
      <div class="cv-row">
        <Tabs
          name="Views"
          id={id}
          panel={`${id}-view`}
          tabs={VIEWS.map(({ id, name, empty }) => ({ id, name, faint: empty(store.model) !== null }))}
          chosen={store.view.value}
          choose={(view) => {
            store.view.value = view;
          }}
        />
        <div class="cv-tools">
          <button
            type="button"
            class="cv-button cv-search-open"
            aria-haspopup="dialog"
            aria-keyshortcuts="/"
            onClick={() => {
              store.overlay.value = "search";
            }}
          >
            <SearchIcon />
            <span>Search</span> <kbd aria-hidden="true">/</kbd>
          </button>
          <div class="cv-either" role="group" aria-label="As">
            {(["picture", "table"] as const).map((shape) => (
              <button
                type="button"
                key={shape}
                class="cv-button"
                aria-pressed={store.shape.value === shape}
                aria-keyshortcuts="T"
                title={`As a ${shape} (T)`}
                onClick={() => {
                  store.shape.value = shape;
                }}
              >
                {shape === "picture" ? "Picture" : "Table"}
              </button>
            ))}
          </div>
          <Switch
            name="Combinations"
            key_="I"
            on={store.interactions.value}
            press={() => {
              store.interactions.value = !store.interactions.value;
            }}
          >
            <CombineIcon />
          </Switch>
          <Switch
            name="Dark"
            key_="D"
            on={dark}
            press={() => {
              shell.theme.value = dark ? "light" : "dark";
            }}
          >
            <ThemeIcon />
          </Switch>
          {store.host.kind !== "server" && (
            <Switch
              name="Full window"
              key_="W"
              on={shell.full.value}
              press={() => {
                shell.full.value = !shell.full.value;
              }}
            >
              <FullIcon />
            </Switch>
          )}
          <button
            type="button"
            class="cv-button"
            aria-haspopup="dialog"
            aria-label="Keys and help"
            title="Keys and help (?)"
            aria-keyshortcuts="?"
            onClick={() => {
              store.overlay.value = "help";
            }}
          >
            ?
          </button>
        </div>
      </div>
      <div class="cv-row cv-sliders">
        <NodeSlider shell={shell} id={id} />
        <EdgeSlider shell={shell} id={id} />
      </div>
    </div>
  );
}

interface SwitchProps {
  name: string;
  key_: string;
  on: boolean;
  press: () => void;
  children: ComponentChildren;
}

function Switch({ name, key_, on, press, children }: SwitchProps) {
  return (
    <button
      type="button"
      class="cv-button"
      aria-pressed={on}
      aria-label={name}
      aria-keyshortcuts={key_}
      title={`${name} (${key_})`}
      onClick={press}
    >
      {children}
    </button>
  );
}
