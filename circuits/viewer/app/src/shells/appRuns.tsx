/** The list of runs: open one, compare two. */
import { useState } from "preact/hooks";
import { chance, count, percent, short, shown } from "../format";
import type { Loaded, RunItem, Runs } from "./appApi";
import { JobList, type Jobs } from "./appJobs";
import { runAddress } from "./appRoute";

/** With more runs than this there is a box to find one. */
const MANY = 8;

export function RunsPage({ runs, jobs }: { runs: Loaded<Runs>; jobs: Jobs }) {
  const [find, setFind] = useState("");
  const [chosen, choose] = useState<readonly string[]>([]);
  const { data, wrong } = runs;
  if (wrong !== null) return <Wrong said={wrong} />;
  if (data === null) return <p class="cv-muted">Reading the folder …</p>;
  const sought = find.trim().toLowerCase();
  const listed = data.runs.filter((one) => !sought || text(one).includes(sought));
  const toggle = (run: string) =>
    choose((was) => (was.includes(run) ? was.filter((one) => one !== run) : [...was, run].slice(-2)));
  return (
    <>
      <h1 tabIndex={-1}>
        Runs in <bdi>{shown(data.folder)}</bdi>
      </h1>
      <JobList jobs={jobs} all={false} />
      {data.runs.length === 0 ? (
        <Nothing writable={data.writable} />
      ) : (
        <>
          <div class="cv-app-bar">
            {data.runs.length > MANY && (
              <label class="cv-app-find">
                <span>Find</span>
                <input
                  class="cv-input"
                  type="search"
                  value={find}
                  placeholder="prompt, name, output, model"
                  onInput={(event) => setFind(event.currentTarget.value)}
                />
              </label>
            )}
            <p class="cv-muted" role="status">
              {sought ? `${count(listed.length)} of ${count(data.runs.length)}` : count(data.runs.length)}
              {data.runs.length === 1 ? " run" : " runs"}
              {data.more && ", and more that are not listed"}
            </p>
            <Compare chosen={chosen} />
          </div>
          <ul class="cv-app-runs">
            {listed.map((one) => (
              <Run key={one.run} one={one} chosen={chosen.includes(one.run)} toggle={() => toggle(one.run)} />
            ))}
          </ul>
        </>
      )}
    </>
  );
}

export function Wrong({ said }: { said: string }) {
  return (
    <p class="cv-wrong" role="alert">
      {shown(said)}
    </p>
  );
}

function Nothing({ writable }: { writable: boolean }) {
  return (
    <p>
      No runs yet.{" "}
      {writable ? (
        <a href="#/new">Explain a first prompt</a>
      ) : (
        <>
          Make one with <code>circuits attribute</code>.
        </>
      )}
    </p>
  );
}

function Compare({ chosen }: { chosen: readonly string[] }) {
  if (chosen.length < 2) {
    return (
      <p class="cv-muted cv-app-compare">{chosen.length === 1 ? "Mark a second run to compare." : "Mark two runs to compare them."}</p>
    );
  }
  return (
    <p class="cv-app-compare">
      <a class="cv-button cv-framed" href={runAddress(chosen[0], "graph", chosen[1])}>
        Compare {short(chosen[0], 24)} with {short(chosen[1], 24)}
      </a>
    </p>
  );
}

function Run({ one, chosen, toggle }: { one: RunItem; chosen: boolean; toggle(): void }) {
  if (one.error !== null) {
    return (
      <li class="cv-app-run cv-app-broken">
        <div class="cv-app-run-text">
          <b>
            <bdi>{shown(one.run)}</bdi>
          </b>
          <p class="cv-wrong">{shown(one.error)}</p>
        </div>
      </li>
    );
  }
  const { replacement, completeness } = one.scores;
  return (
    <li class={chosen ? "cv-app-run cv-chosen" : "cv-app-run"}>
      <label class="cv-app-mark" title="Mark it to compare">
        <input type="checkbox" checked={chosen} onChange={toggle} aria-label={`Mark ${short(one.run)} to compare`} />
      </label>
      <div class="cv-app-run-text">
        <a class="cv-app-prompt" href={runAddress(one.run)}>
          <bdi>{short(one.prompt ?? one.run, 240)}</bdi>
        </a>
        {one.output && (
          <p class="cv-app-output">
            <span aria-hidden="true">→ </span>
            <span class="cv-unseen">continues with </span>
            <bdi>“{short(one.output.text, 60)}”</bdi> {one.output.probability !== null && chance(one.output.probability)}
          </p>
        )}
        <p class="cv-muted cv-app-facts">
          <b>
            <bdi>{short(one.run, 60)}</bdi>
          </b>
          {one.model && (
            <span>
              <bdi>{short(one.model, 40)}</bdi>, <bdi>{short(one.dictionary ?? "", 40)}</bdi>
            </span>
          )}
          <span>{sizes(one)}</span>
          {typeof replacement === "number" && <span title="Replacement: of the influence that starts at words or errors, the words' part">replacement {percent(replacement)}</span>}
          {typeof completeness === "number" && <span title="Completeness: of what flows into nodes, the part that is no error">completeness {percent(completeness)}</span>}
          {one.created && <time dateTime={one.created}>{date(one.created)}</time>}
        </p>
      </div>
    </li>
  );
}

function sizes(one: RunItem): string {
  const parts: [number | null, string][] = [
    [one.nodes, "nodes"],
    [one.edges, "edges"],
    [one.hyperedges, "hyperedges"],
    [one.verdicts, "verdicts"],
  ];
  return parts
    .filter(([number]) => number)
    .map(([number, what]) => `${count(number ?? 0)} ${what}`)
    .join(", ");
}

/** In the reader's own form; as it is written where it is no date. */
function date(text: string): string {
  const when = new Date(text);
  return Number.isNaN(when.getTime()) ? short(text, 40) : when.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

function text(one: RunItem): string {
  return [one.run, one.prompt, one.output?.text, one.model, one.dictionary].join("\n").toLowerCase();
}
