/** Texts a feature is on in: each token shaded by its activation, the one it is about marked. */
import { useState } from "preact/hooks";
import type { CardPart } from "../../document";
import { plain, shown } from "../../format";

type Context = CardPart["contexts"][number];

export function Contexts({ card, strings }: { card: CardPart; strings: string[] }) {
  const [all, setAll] = useState(false);
  const top = card.contexts.filter(({ fifth }) => fifth === 5);
  const drawn = card.contexts.filter(({ fifth }) => fifth !== 5).sort((one, other) => other.fifth - one.fifth);
  if (card.contexts.length === 0) return null;
  return (
    <section>
      <h4>
        Texts
        <span class="cv-aside">shaded by activation, {plain(card.maximum)} at most</span>
      </h4>
      <ul class="cv-contexts">
        {top.slice(0, all ? top.length : 4).map((context, place) => (
          <Line key={place} context={context} card={card} strings={strings} />
        ))}
      </ul>
      {all && drawn.length > 0 && (
        <>
          <h5>Drawn at random from weaker activations</h5>
          <ul class="cv-contexts">
            {drawn.map((context, place) => (
              <Line key={place} context={context} card={card} strings={strings} />
            ))}
          </ul>
        </>
      )}
      {(top.length > 4 || drawn.length > 0) && (
        <button type="button" class="cv-more" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? "Fewer" : `All ${card.contexts.length}, weaker ones too`}
        </button>
      )}
    </section>
  );
}

/** So many tokens before the one a context is about, and after it. */
const BEFORE = 14;
const AFTER = 6;

function Line({ context, card, strings }: { context: Context; card: CardPart; strings: string[] }) {
  const { tokens, values, at } = context;
  const from = Math.max(0, at - BEFORE);
  const to = Math.min(tokens.length, at + AFTER + 1);
  const activation = (values[at] / 255) * card.maximum;
  return (
    <li>
      <data class="cv-context-value" value={String(activation)}>
        {plain(activation)}
      </data>
      <p dir="auto">
        {from > 0 && "…"}
        {tokens.slice(from, to).map((token, place) => (
          <Token
            key={place}
            text={strings[token] ?? ""}
            part={values[from + place] / 255}
            about={from + place === at}
          />
        ))}
        {to < tokens.length && "…"}
      </p>
    </li>
  );
}

function Token({ text, part, about }: { text: string; part: number; about: boolean }) {
  const seen = text.length > 200 ? `${shown(text.slice(0, 200))}…` : shown(text);
  const style = { "--part": Math.max(0, Math.min(1, part)).toFixed(3) };
  const on = part > 0 ? "cv-shaded" : "";
  return about ? (
    <mark class={on} style={style}>
      {seen}
    </mark>
  ) : on ? (
    <span class={on} style={style}>
      {seen}
    </span>
  ) : (
    <>{seen}</>
  );
}
