/** The answer: its finding, its tables, what it lights; and the box to ask, where something can answer. */
import { useState } from "preact/hooks";
import type { AnswerPart, TablePart } from "../document";
import { short, shown } from "../format";
import "../style/answer.css";
import { edgeKey } from "../store";
import { PartTable } from "../views/DataTable";
import type { Shell } from "./shell";
import { suggestions } from "./suggestions";

export function Answer({ shell, id }: { shell: Shell; id: string }) {
  const { store } = shell;
  const answer = store.answer.value ?? store.model.document.answer;
  return (
    <div class="cv-answer">
      {store.host.ask ? (
        <Question shell={shell} ask={store.host.ask.bind(store.host)} id={id} />
      ) : (
        <p class="cv-muted cv-fine">
          To ask more, run <code>circuits serve</code>: with the run behind it, the viewer answers questions.
        </p>
      )}
      {answer ? <Told shell={shell} answer={answer} /> : <p class="cv-muted">No answer was put into this file.</p>}
    </div>
  );
}

interface QuestionProps {
  shell: Shell;
  ask: (question: string) => Promise<AnswerPart>;
  id: string;
}

function Question({ shell, ask, id }: QuestionProps) {
  const { store } = shell;
  const [said, say] = useState<{ wrong: boolean; text: string } | null>(null);
  const put = async (question: string) => {
    if (question.trim() === "") return;
    say({ wrong: false, text: "Working …" });
    try {
      store.answer.value = await ask(question);
      say(null);
      store.told.value = `Answered: ${short(question)}`;
    } catch (cause) {
      say({ wrong: true, text: cause instanceof Error ? cause.message : String(cause) });
    }
  };
  return (
    <form
      class="cv-question"
      onSubmit={(event) => {
        event.preventDefault();
        void put(String(new FormData(event.currentTarget).get("question") ?? ""));
      }}
    >
      <label for={`${id}-question`}>Question</label>
      <div class="cv-question-line">
        <input
          id={`${id}-question`}
          class="cv-input"
          name="question"
          list={`${id}-examples`}
          autocomplete="off"
          maxLength={2_000}
          placeholder="which pairs drive it"
          aria-invalid={said?.wrong ?? false}
          aria-describedby={`${id}-said`}
        />
        <button type="submit" class="cv-button cv-framed">
          Ask
        </button>
      </div>
      <datalist id={`${id}-examples`}>
        {suggestions(store.model, store.selected.value).map((question) => (
          <option key={question} value={question} />
        ))}
      </datalist>
      <p id={`${id}-said`} class={said?.wrong ? "cv-wrong" : "cv-muted cv-fine"} role={said?.wrong ? "alert" : undefined}>
        {said ? shown(said.text) : "The grammar of circuits ask; no language model reads it."}
      </p>
    </form>
  );
}

function Told({ shell, answer }: { shell: Shell; answer: AnswerPart }) {
  const { lit } = shell.store;
  const what = `the answer to “${answer.question}”`;
  const on = lit.value?.what === what;
  const { nodes, edges } = answer.highlight;
  return (
    <article>
      <h3 class="cv-panel-title" tabIndex={-1}>
        <bdi>{short(answer.question, 300)}</bdi>
      </h3>
      {answer.finding.map((line, place) => (
        <p key={place} class="cv-finding">
          <bdi>{shown(line)}</bdi>
        </p>
      ))}
      {answer.trust !== null && (
        <p class="cv-muted cv-fine">
          <bdi>{shown(answer.trust)}</bdi>
        </p>
      )}
      {nodes.length > 0 && (
        <p>
          <button
            type="button"
            class="cv-button cv-framed"
            aria-pressed={on}
            onClick={() => {
              const keys = new Set(edges.map(([source, target]) => edgeKey(source, target)));
              lit.value = on ? null : { nodes: new Set(nodes), edges: keys, what };
            }}
          >
            Light it in the graph
          </button>
        </p>
      )}
      {Object.entries(answer.tables).map(([name, table]) => (
        <details key={name} class="cv-answer-table" open={Object.keys(answer.tables)[0] === name}>
          <summary>
            <bdi>{short(table.caption || name, 200)}</bdi>
          </summary>
          <PartTable part={visible(table)} file="answer" />
        </details>
      ))}
      {answer.code !== "" && (
        <details class="cv-answer-table">
          <summary>The same in Python</summary>
          <code class="cv-command">{shown(answer.code).replaceAll("⏎", "\n")}</code>
        </details>
      )}
    </article>
  );
}

function visible(table: TablePart): TablePart {
  const rows = table.rows.map((row) => row.map((cell) => (typeof cell === "string" ? shown(cell) : cell)));
  return { ...table, caption: shown(table.caption), columns: table.columns.map(shown), rows };
}
