/** All keys, from the table that handles them, and what the marks mean. */
import { type Action, ACTIONS } from "../keys";
import { Dialog } from "./Dialog";
import type { Shell } from "./shell";

const PARTS: readonly Action["part"][] = ["Find", "Node", "Show", "Panels", "Page"];

export function Help({ shell }: { shell: Shell }) {
  const { overlay } = shell.store;
  const close = () => {
    overlay.value = null;
  };
  return (
    <Dialog title="Keys" close={close}>
      <div class="cv-keys">
        {PARTS.map((part) => (
          <section key={part}>
            <h4>{part}</h4>
            <dl>
              {ACTIONS.filter((action) => action.part === part).map(({ shown, says }) => (
                <div key={shown}>
                  <dt>
                    <kbd>{shown}</kbd>
                  </dt>
                  <dd>{says}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
        <section>
          <h4>Marks</h4>
          <dl>
            <div>
              <dt>● ◆ ■ ▲</dt>
              <dd>feature, error, token or output, attention</dd>
            </div>
            <div>
              <dt class="cv-up">━━</dt>
              <dd>
                pushes up: solid, <span class="cv-up">blue</span>
              </dd>
            </div>
            <div>
              <dt class="cv-down">╍╍</dt>
              <dd>
                pushes down: dashed, <span class="cv-down">orange</span>
              </dd>
            </div>
          </dl>
        </section>
      </div>
      <p class="cv-muted cv-fine">
        Keys are heard while the focus is inside the viewer. Tab goes through its parts; every view is also a table.
      </p>
    </Dialog>
  );
}
