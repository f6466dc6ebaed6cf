/** Jobs: prompts on their way to runs, with their progress as the server tells of it. */
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { count, short, shown } from "../format";
import { get, type Job, send, sentence } from "./appApi";
import { runAddress } from "./appRoute";

export interface Jobs {
  jobs: readonly Job[];
  /** A sentence for ears: what last happened to a job. */
  told: string;
  add(body: object): Promise<Job>;
  cancel(job: Job): Promise<void>;
}

const OVER: readonly Job["status"][] = ["done", "failed", "cancelled"];

export function isOver(job: Job): boolean {
  return OVER.includes(job.status);
}

/** Follows the job that runs, or comes next; the others only move when that one ends. */
export function useJobs(ended: (job: Job) => void): Jobs {
  const [jobs, setJobs] = useState<readonly Job[]>([]);
  const [told, tell] = useState("");
  const whenEnded = useRef(ended);
  whenEnded.current = ended;
  const look = useCallback(async () => {
    try {
      setJobs(await get<Job[]>("/api/jobs"));
    } catch {
      // the page that is shown says so
    }
  }, []);
  useEffect(() => void look(), [look]);
  const open = jobs.filter((job) => !isOver(job));
  const next = (open.find((job) => job.status === "running") ?? open.at(-1))?.id;
  useEffect(() => {
    if (next === undefined) return undefined;
    const stream = new EventSource(`/api/jobs/${encodeURIComponent(next)}/events`);
    stream.addEventListener("job", (event) => {
      const job = JSON.parse((event as MessageEvent<string>).data) as Job;
      setJobs((was) => was.map((one) => (one.id === job.id ? job : one)));
      if (!isOver(job)) return;
      stream.close();
      tell(`${job.run}: ${ENDED[job.status] ?? job.status}`);
      whenEnded.current(job);
      void look();
    });
    return () => stream.close();
  }, [next, look]);
  return useMemo(
    () => ({
      jobs,
      told,
      async add(body: object) {
        const job = await send<Job>("POST", "/api/jobs", body);
        await look();
        return job;
      },
      async cancel(job: Job) {
        try {
          await send<Job>("DELETE", `/api/jobs/${encodeURIComponent(job.id)}`);
        } catch (cause) {
          tell(sentence(cause));
        }
        await look();
      },
    }),
    [jobs, told, look],
  );
}

const ENDED: Partial<Record<Job["status"], string>> = { done: "the run is there", failed: "failed", cancelled: "cancelled" };

/** The jobs, those that are over too unless `all` is false. */
export function JobList({ jobs, all = true }: { jobs: Jobs; all?: boolean }) {
  const listed = jobs.jobs.filter((job) => all || !isOver(job));
  return (
    <>
      <p class="cv-unseen" role="status">
        {shown(jobs.told || " ")}
      </p>
      {listed.length > 0 && (
        <section class="cv-app-jobs" aria-label="Prompts under way">
          <h2>{all ? "Prompts of this session" : "Under way"}</h2>
          <ul>
            {listed.map((job) => (
              <Line key={job.id} job={job} cancel={() => void jobs.cancel(job)} />
            ))}
          </ul>
        </section>
      )}
    </>
  );
}

function Line({ job, cancel }: { job: Job; cancel(): void }) {
  return (
    <li class={`cv-app-job cv-is-${job.status}`}>
      <div class="cv-app-job-name">
        <b>
          <bdi>{shown(job.run)}</bdi>
        </b>{" "}
        <bdi class="cv-muted">{short(job.prompt, 90)}</bdi>
      </div>
      <div class="cv-app-job-state">
        {job.status === "running" && (
          <progress
            aria-label={`Progress of ${short(job.run)}`}
            {...(job.total > 0 ? { value: Math.min(job.done, job.total), max: job.total } : {})}
          />
        )}
        <span>{state(job)}</span>
        {job.status === "done" && <a href={runAddress(job.run)}>Open</a>}
        {!isOver(job) && (
          <button type="button" class="cv-button cv-framed" aria-label={`Cancel ${short(job.run)}`} onClick={cancel}>
            Cancel
          </button>
        )}
      </div>
      {(job.error ?? job.note) !== null && <p class={job.error ? "cv-wrong" : "cv-muted"}>{shown(job.error ?? job.note ?? "")}</p>}
    </li>
  );
}

function state(job: Job): string {
  switch (job.status) {
    case "waiting":
      return job.ahead > 0 ? `waits for ${count(job.ahead)} before it` : "begins";
    case "running": {
      const counted = job.total > 1 ? `: ${count(job.done)} of ${count(job.total)}` : "";
      const left = job.eta === null ? "" : `, about ${seconds(job.eta)} left`;
      return `${shown(job.phase || "Starting")}${counted}${left}`;
    }
    case "done":
      return `done in ${seconds(job.seconds)}`;
    default:
      return job.status;
  }
}

function seconds(value: number): string {
  const whole = Math.max(1, Math.round(value));
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
