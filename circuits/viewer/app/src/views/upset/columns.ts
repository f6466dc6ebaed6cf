/** Columns and rows of the UpSet plot (Lex et al. 2014): the strongest combinations and who is in them. */
import type { Model } from "../../model";
import { type Combination, combinations, type Filter } from "../combination";

export interface Upset {
  columns: Combination[];
  /** Members, then what is acted on, in the order in which columns name them. */
  members: string[];
  targets: string[];
  relative: boolean;
  /** How many pass the filter. */
  passing: number;
}

/** The columns of a filter; where bars are shares, combinations of unknown share are left out. */
export function upset(model: Model, filter: Filter): Upset {
  const found = combinations(model, filter);
  const columns = found.relative ? found.shown.filter((one) => one.share !== null) : found.shown;
  return {
    columns,
    members: [...new Set(columns.flatMap((one) => one.members))],
    targets: [...new Set(columns.map((one) => one.target))],
    relative: found.relative,
    passing: found.passing,
  };
}
