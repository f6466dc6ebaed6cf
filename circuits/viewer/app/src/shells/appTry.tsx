/** Interventions: do something to features and words, see what the graph predicts and what the model does. */
import { useId, useMemo, useState } from "preact/hooks";
import type { ViewerDocument } from "../document";
import { short, shown } from "../format";
import { PartTable } from "../views/DataTable";
import { ofRun, send, sentence, type Tried } from "./appApi";
import { Wrong } from "./appRuns";

const VERBS = {
  ablate: "switch off",
  set: "set to",
  scale: "multiply by",
  add: "add",
} as const;

interface Action {
  verb: keyof typeof VERBS;
  name: string;
  amount: string;
}

const EMPTY: Action = { verb: "ablate", name: "", amount: "0" };

export function TryPage({ run, document }: { run: string; document: ViewerDocument }) {
  const [actions, setActions] = useState<readonly Action[]>([EMPTY]);
  const [tried, setTried] = useState<Tried | null>(null);
  const [wrong, setWrong] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const names = useMemo(() => nameable(document), [document]);
  const id = useId();
  const change = (place: number, part: Partial<Action>) =>
    setActions((was) => was.map((one, at) => (at === place ? { ...one, ...part } : one)));
  const act = async (form: HTMLFormElement) => {
    const said = new FormData(form);
    setBusy(true);
    setWrong(null);
    try {
      const body = { actions: actions.map(written), hold: said.get("hold") || null, generate: Number(said.get("generate") || 0) };
      setTried(await send<Tried>("POST", ofRun(run, "intervene"), body));
    } catch (cause) {
      setWrong(sentence(cause));
    }
    setBusy(false);
  };
  return (
    <div class="cv-app-try">
      <p class="cv-muted">
        Change features or words of this prompt. What the graph predicts stands beside what is measured on the model.
      </p>
      <form
        class="cv-app-form"
        onSubmit={(event) => {
          event.preventDefault();
          void act(event.currentTarget);
        }}
      >
        <datalist id={`${id}-names`}>
          {names.map(([name, says]) => (
            <option key={name} value={name}>
              {says}
            </option>
          ))}
        </datalist>
        {actions.map((one, place) => (
          <Line
            key={place}
            one={one}
            list={`${id}-names`}
            change={(part) => change(place, part)}
            remove={actions.length > 1 ? () => setActions((was) => was.filter((_, at) => at !== place)) : null}
          />
        ))}
        <p>
          <button type="button" class="cv-button cv-framed" onClick={() => setActions((was) => [...was, EMPTY])}>
            And also …
          </button>
        </p>
        <div class="cv-app-pair">
          <label>
            What is held still
            <select class="cv-input" name="hold">
              <option value="">all, and nothing, side by side</option>
              <option value="frozen">patterns, norms and MLPs</option>
              <option value="patterns">attention patterns</option>
              <option value="nothing">nothing</option>
            </select>
          </label>
          <label>
            Tokens to write after the prompt
            <input class="cv-input" name="generate" type="number" min={0} max={50} step={1} placeholder="0" />
          </label>
        </div>
        <p>
          <button type="submit" class="cv-button cv-framed cv-app-main" disabled={busy}>
            {busy ? "Running the model …" : "Try it"}
          </button>
        </p>
        {wrong !== null && <Wrong said={wrong} />}
      </form>
      <div role="status">{tried && !busy && wrong === null && <Told tried={tried} />}</div>
    </div>
  );
}

interface LineProps {
  one: Action;
  list: string;
  change(part: Partial<Action>): void;
  remove: (() => void) | null;
}

function Line({ one, list, change, remove }: LineProps) {
  return (
    <div class="cv-app-action" role="group" aria-label="Something to do">
      <select
        class="cv-input"
        aria-label="What to do"
        value={one.verb}
        onChange={(event) => change({ verb: event.currentTarget.value as Action["verb"] })}
      >
        {Object.entries(VERBS).map(([verb, says]) => (
          <option key={verb} value={verb}>
            {says}
          </option>
        ))}
      </select>
      <input
        class="cv-input"
        aria-label="A feature, word, label or concept"
        list={list}
        required
        maxLength={300}
        autocomplete="off"
        placeholder="a feature, word, label or concept"
        value={one.name}
        onInput={(event) => change({ name: event.currentTarget.value })}
      />
      {one.verb !== "ablate" && (
        <input
          class="cv-input cv-app-amount"
          aria-label="Amount"
          type="number"
          step="any"
          required
          value={one.amount}
          onInput={(event) => change({ amount: event.currentTarget.value })}
        />
      )}
      {remove && (
        <button type="button" class="cv-button" aria-label="Take it out" onClick={remove}>
          ✕
        </button>
      )}
    </div>
  );
}

function Told({ tried }: { tried: Tried }) {
  return (
    <section class="cv-app-told" aria-label="What happens">
      <h2>
        <bdi>{short(tried.question, 300)}</bdi>
      </h2>
      {tried.finding.map((line, place) => (
        <p key={place}>
          <bdi>{shown(line)}</bdi>
        </p>
      ))}
      {Object.entries(tried.tables).map(([name, table]) => (
        <div key={name}>
          <h3>{name}</h3>
          <p class="cv-muted">{shown(table.caption)}</p>
          <PartTable part={table} file={name} />
        </div>
      ))}
    </section>
  );
}

/** An action as the API takes it. */
export function written({ verb, name, amount }: Action): string {
  return verb === "ablate" ? `ablate ${name}` : `${verb} ${name}=${amount || "0"}`;
}

/** Names to offer: words of the prompt, concepts, then features with their labels, the most influential first. */
function nameable({ graph }: ViewerDocument): [string, string][] {
  const { nodes } = graph;
  const rows = nodes.node
    .map((_, row) => row)
    .filter((row) => nodes.kind[row] === "token" || nodes.kind[row] === "feature")
    .sort((one, other) => (nodes.influence[other] ?? 0) - (nodes.influence[one] ?? 0));
  const concepts = graph.concepts.map(({ name }): [string, string] => [name, "concept"]);
  return [...concepts, ...rows.slice(0, 150).map((row): [string, string] => [nodes.node[row], short(nodes.name[row], 80)])];
}
