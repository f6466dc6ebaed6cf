/** What a feature means: its label and how far it held, tokens it promotes, texts it is on in, how often it is on. */
import type { CardPart } from "../../document";
import { percent, short, shown } from "../../format";
import { Weight } from "../NodeRow";
import type { Shell } from "../shell";
import { Contexts } from "./Contexts";
import { Histogram } from "./Histogram";

export function Meaning({ shell, row }: { shell: Shell; row: number }) {
  const { graph } = shell.store.model;
  const { layer, feature, label, activation } = graph.nodes;
  const id = `${layer[row]}/${feature[row]}`;
  const card = Object.hasOwn(graph.cards.cards, id) ? graph.cards.cards[id] : undefined;
  if (!card) return <NoCard shell={shell} id={id} label={label[row]} />;
  return (
    <>
      <section>
        <h4>
          Feature <bdi>{id}</bdi>
        </h4>
        <Label card={card} />
        <Tokens title="Promotes" pairs={card.promoted} strings={graph.cards.strings} />
        <Tokens title="Suppresses" pairs={card.suppressed} strings={graph.cards.strings} />
      </section>
      <Contexts card={card} strings={graph.cards.strings} />
      <Histogram card={card} activation={activation[row]} />
    </>
  );
}

function Label({ card }: { card: CardPart }) {
  if (card.label === null)
    return <p class="cv-muted">No label held on text it was not chosen on; judge by the texts below.</p>;
  if (card.precision === null)
    return (
      <p>
        “<bdi>{short(card.label, 200)}</bdi>” <span class="cv-muted">– provisional: not tested on held-out text.</span>
      </p>
    );
  return (
    <p>
      “<bdi>{short(card.label, 200)}</bdi>”
      <span class="cv-muted">
        {" "}
        – tested on held-out text: of the tokens it is on at, {percent(card.precision)} are this
        {card.recall === null ? "" : `; of all such tokens it is on at ${percent(card.recall)}`}.
      </span>
    </p>
  );
}

interface TokensProps {
  title: string;
  pairs: [number, number][];
  strings: string[];
}

function Tokens({ title, pairs, strings }: TokensProps) {
  if (pairs.length === 0) return null;
  const largest = Math.max(...pairs.map(([, by]) => Math.abs(by)));
  return (
    <>
      <h5>{title}</h5>
      <ul class="cv-rows cv-says">
        {pairs.slice(0, 6).map(([token, by], place) => (
          <li key={place}>
            <Weight value={by} part={largest > 0 ? Math.abs(by) / largest : 0} />
            <bdi class="cv-text cv-said">{shown(strings[token] ?? "")}</bdi>
          </li>
        ))}
      </ul>
    </>
  );
}

function NoCard({ shell, id, label }: { shell: Shell; id: string; label: string | null }) {
  const { cards, totals, dictionary } = shell.store.model.graph;
  const has = Object.keys(cards.cards).length;
  return (
    <section>
      <h4>
        Feature <bdi>{id}</bdi>
      </h4>
      {label !== null && (
        <p>
          “<bdi>{short(label, 200)}</bdi>”
        </p>
      )}
      {has > 0 ? (
        <p class="cv-muted">
          It has no card here: the file holds {has} of the dictionary's {totals.cards}.
        </p>
      ) : (
        <p class="cv-muted">
          Features of <bdi>{short(dictionary)}</bdi> have no cards, so what this one means is not known here. Cards are
          made once for a dictionary, from any text:
          <code class="cv-command">circuits describe {short(dictionary)} --text corpus.txt</code>
        </p>
      )}
    </section>
  );
}
