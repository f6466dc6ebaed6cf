/** A run asked in SQL: the tables and macros there are, a query, its rows. */
import { useRef, useState } from "preact/hooks";
import { count, shown } from "../format";
import { PartTable } from "../views/DataTable";
import { ofRun, type Rows, type Schema, send, sentence, useLoaded } from "./appApi";
import { Wrong } from "./appRuns";

const FIRST = "SELECT node, kind, label, influence\nFROM nodes\nORDER BY influence DESC NULLS LAST\nLIMIT 20";

export function SqlPage({ run }: { run: string }) {
  const schema = useLoaded<Schema>(ofRun(run, "schema"));
  const box = useRef<HTMLTextAreaElement>(null);
  const [rows, setRows] = useState<Rows | null>(null);
  const [wrong, setWrong] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const ask = async () => {
    setBusy(true);
    setWrong(null);
    try {
      setRows(await send<Rows>("POST", ofRun(run, "sql"), { query: box.current?.value ?? "" }));
    } catch (cause) {
      setWrong(sentence(cause));
    }
    setBusy(false);
  };
  const put = (query: string) => {
    if (!box.current) return;
    box.current.value = query;
    box.current.focus();
  };
  return (
    <div class="cv-app-sql">
      <form
        class="cv-app-form"
        onSubmit={(event) => {
          event.preventDefault();
          void ask();
        }}
      >
        <label>
          Query <span class="cv-muted">One SELECT in DuckDB's dialect; Ctrl + Enter runs it.</span>
          <textarea
            class="cv-input cv-app-code"
            ref={box}
            name="query"
            rows={6}
            spellcheck={false}
            defaultValue={FIRST}
            onKeyDown={(event) => {
              if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
                event.preventDefault();
                void ask();
              }
            }}
          />
        </label>
        <p>
          <button type="submit" class="cv-button cv-framed cv-app-main" disabled={busy}>
            {busy ? "Running …" : "Run"}
          </button>{" "}
          <span role="status">{rows && !busy && wrong === null ? shown(rows.finding) : ""}</span>
        </p>
        {wrong !== null && <Wrong said={wrong} />}
      </form>
      {rows && wrong === null && rows.columns.length > 0 && <PartTable part={rows} file="query" />}
      {schema.wrong !== null && <Wrong said={schema.wrong} />}
      {schema.data && <Names schema={schema.data} put={put} />}
    </div>
  );
}

function Names({ schema, put }: { schema: Schema; put(query: string): void }) {
  return (
    <section class="cv-app-names" aria-label="What a query can name">
      <h2>Macros</h2>
      <ul>
        {Object.entries(schema.macros).map(([name, macro]) => (
          <li key={name}>
            <button type="button" class="cv-button cv-app-code" title="Put it into the box" onClick={() => put(macro.example)}>
              {macro.example}
            </button>
            <span class="cv-muted">{macro.gives}</span>
          </li>
        ))}
      </ul>
      <h2>Tables</h2>
      {Object.entries(schema.tables).map(([name, table]) => (
        <details key={name}>
          <summary>
            <code>{name}</code> {count(table.rows)} {table.rows === 1 ? "row" : "rows"}, each {table.row}
          </summary>
          <dl>
            {Object.entries(table.columns).map(([column, meaning]) => (
              <div key={column}>
                <dt>
                  <code>{column}</code>
                </dt>
                <dd>{meaning}</dd>
              </div>
            ))}
          </dl>
        </details>
      ))}
    </section>
  );
}
