/** A new prompt: what `circuits attribute` takes, as a form. */
import { useState } from "preact/hooks";
import { shown } from "../format";
import { type Loaded, type Runs, sentence } from "./appApi";
import { JobList, type Jobs } from "./appJobs";
import { Wrong } from "./appRuns";

export function NewPage({ runs, jobs }: { runs: Loaded<Runs>; jobs: Jobs }) {
  const [wrong, setWrong] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const { data } = runs;
  const add = async (form: HTMLFormElement) => {
    setBusy(true);
    setWrong(null);
    try {
      await jobs.add(asked(new FormData(form)));
    } catch (cause) {
      setWrong(sentence(cause));
    }
    setBusy(false);
  };
  return (
    <>
      <h1 tabIndex={-1}>New prompt</h1>
      <p class="cv-muted">
        The model reads the prompt, and what it would write next is explained: the same as <code>circuits attribute</code>.
      </p>
      {runs.wrong !== null && <Wrong said={runs.wrong} />}
      {data && !data.writable && <Wrong said="Runs cannot be added to this folder: it is a single run, or cannot be written." />}
      <form
        class="cv-app-form"
        onSubmit={(event) => {
          event.preventDefault();
          void add(event.currentTarget);
        }}
      >
        <label>
          Prompt
          <textarea class="cv-input" name="prompt" rows={3} required maxLength={20_000} placeholder="The capital of the state containing Dallas is" />
        </label>
        <label>
          Model and dictionary
          <select class="cv-input" name="choice">
            {(data?.choices ?? []).map(({ model, dictionary }) => (
              <option key={`${model}\n${dictionary}`} value={JSON.stringify([model, dictionary])}>
                {shown(model)}, {shown(dictionary)}
              </option>
            ))}
          </select>
        </label>
        <label class="cv-app-check">
          <input type="checkbox" name="combinations" checked /> Look for combinations too; this takes longer
        </label>
        <details>
          <summary>More</summary>
          <label>
            Tokens to explain, one a line
            <span class="cv-muted">Spelt as the tokenizer does, in quotes: “ Paris” begins with a space. The likeliest unless given.</span>
            <textarea class="cv-input" name="targets" rows={2} placeholder={'" Paris"'} />
          </label>
          <label>
            Less this token
            <span class="cv-muted">Explains the one token above minus this one.</span>
            <input class="cv-input" name="over" autocomplete="off" placeholder={'" London"'} />
          </label>
          <label>
            Name of the run
            <span class="cv-muted">Made from the prompt unless given.</span>
            <input class="cv-input" name="name" autocomplete="off" maxLength={100} />
          </label>
          <label>
            Features that get incoming edges, at most
            <input class="cv-input" name="max_features" type="number" min={0} max={1_000_000} step={1} placeholder="4000" />
          </label>
          <label class="cv-app-check">
            <input type="checkbox" name="keep_trace" /> Keep the trace in the run; it can be large
          </label>
        </details>
        <p>
          <button type="submit" class="cv-button cv-framed cv-app-main" disabled={busy || data?.writable === false}>
            Explain it
          </button>
        </p>
        {wrong !== null && <Wrong said={wrong} />}
      </form>
      <JobList jobs={jobs} />
    </>
  );
}

/** The form as the API takes it; what was left empty is left out. */
export function asked(form: FormData): object {
  const said = (name: string) => String(form.get(name) ?? "");
  const [model, dictionary] = JSON.parse(said("choice") || '["toy","toy"]') as [string, string];
  const targets = said("targets").split("\n").filter((line) => line.trim() !== "").map(unquoted);
  return {
    prompt: said("prompt"),
    model,
    dictionary,
    combinations: form.has("combinations"),
    keep_trace: form.has("keep_trace"),
    ...(targets.length > 0 ? { targets } : {}),
    ...(said("over").trim() ? { over: unquoted(said("over")) } : {}),
    ...(said("name").trim() ? { name: said("name").trim() } : {}),
    ...(said("max_features").trim() ? { max_features: Number(said("max_features")) } : {}),
  };
}

/** A token as it was meant: what stands in quotes, or all of it. */
function unquoted(text: string): string {
  return /^\s*["“”](.+)["“”]\s*$/s.exec(text)?.[1] ?? text.replace(/\r$/, "");
}
