/** Choices above a picture. */
import type { Filter } from "./combination";
import { ALL, CHANNELS, KINDS } from "./combination";
import type { Model } from "../model";
import { count } from "../format";
import { useUniqueId } from "./ids";

interface ChoiceProps {
  name: string;
  value: string;
  options: readonly (readonly [string, string])[];
  change(value: string): void;
}

export function Choice({ name, value, options, change }: ChoiceProps) {
  const id = useUniqueId();
  return (
    <span class="cv-p-choice">
      <label for={id}>{name}</label>
      <select id={id} value={value} onChange={(event) => change(event.currentTarget.value)}>
        {options.map(([key, text]) => (
          <option key={key} value={key} selected={key === value}>
            {text}
          </option>
        ))}
      </select>
    </span>
  );
}

/** Which combinations are shown: by channel, order and kind, and how many. */
export function Filters(props: { model: Model; filter: Filter; steps: readonly number[]; change(filter: Filter): void }) {
  const { model, filter, steps, change } = props;
  const table = model.graph.hyperedges;
  const occurring = (values: (string | null)[]) => [...new Set(values.map((value) => value ?? "undecided"))];
  const orders = [...new Set(table.order)].filter((order) => order >= 2).sort((a, b) => a - b);
  const total = table.order.filter((order) => order >= 2).length;
  const few = steps.filter((step) => step < total);
  return (
    <div class="cv-p-filters" role="group" aria-label="Which combinations">
      <Choice
        name="Where"
        value={filter.channel}
        options={[[ALL, "anywhere"], ...occurring(table.channel).map((one) => [one, CHANNELS[one as "mlp"]] as const)]}
        change={(channel) => change({ ...filter, channel })}
      />
      <Choice
        name="Kind"
        value={filter.kind}
        options={[[ALL, "any"], ...occurring(table.gate).map((one) => [one, KINDS[one as "and"]] as const)]}
        change={(kind) => change({ ...filter, kind })}
      />
      <Choice
        name="Order"
        value={filter.order}
        options={[[ALL, "any"], ...orders.map((one) => [String(one), SIZES[one] ?? `${one} members`] as const)]}
        change={(order) => change({ ...filter, order })}
      />
      <Choice
        name="Show"
        value={String(filter.most)}
        options={[...few.map((step) => [String(step), `the strongest ${step}`] as const), ["100000", `all ${count(total)}`]]}
        change={(most) => change({ ...filter, most: Number(most) })}
      />
    </div>
  );
}

const SIZES: Record<number, string> = { 2: "pairs", 3: "triples" };
