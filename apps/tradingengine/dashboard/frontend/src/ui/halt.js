// HALT: held for a second, closes the edge's gate and cancels entries. Progress is what the edge and broker confirmed.

import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { call, get, load, Problem } from "../lib/api.js";
import { wallTime } from "../lib/format.js";
import { useHold } from "../lib/hold.js";
import { html } from "../lib/html.js";
import { halt, halted, mayTrade, now, put, say, serverNow, status } from "../lib/store.js";

const UNDELIVERED_MS = 5000;
const POLL_MS = 500;
/** A halt that could not even be handed to the api. */
export const haltFailed = signal(null);
const sending = signal(0);

const keep = (document) => {
  const held = status.peek().data;
  if (held) put("status", { ...held, halt: document && !document.released_at ? document : null });
};

export async function sendHalt() {
  if (sending.peek()) return;
  haltFailed.value = null;
  sending.value = serverNow();
  say("HALT is being sent", "error");
  // The act is idempotent: one halt is open at a time, so it may be sent again until an answer comes.
  for (let attempt = 0; attempt < 3; attempt += 1) {
    try {
      keep(await call("POST", "/v1/halt", { body: { reason: "Held on the dashboard." }, timeout: 3000, safe: true }));
      sending.value = 0;
      return;
    } catch (problem) {
      haltFailed.value = problem;
      if (problem.status >= 400 && problem.status < 500) break;
    }
  }
  sending.value = 0;
  say(`HALT was NOT DELIVERED: ${haltFailed.peek().detail}`, "error");
}

const isShortcut = (event) => event.ctrlKey && event.shiftKey && event.key.toLowerCase() === "h";

export function HaltButton() {
  const { held, props } = useHold(sendHalt, { shortcut: isShortcut });
  if (!mayTrade.value) return null;
  const word = halted.value ? "HALTED" : halt.value || sending.value ? "HALTING" : "HALT";
  return html`<button
    type="button"
    class="halt"
    data-held=${held}
    title="Hold for one second (Ctrl+Shift+H): closes the gate, cancels entries; stops stay"
    aria-label="${word}: hold for one second"
    ...${props}
  >
    <span class="halt-fill" aria-hidden="true"></span>
    <span class="halt-word">${word}${word === "HALT" && html`<small> · hold</small>`}</span>
  </button>`;
}

function steps(document, at) {
  const { requested_at: asked, delivered_at: delivered, confirmed_at: confirmed, entries } = document;
  const late = !confirmed && !delivered && at - Date.parse(asked) > UNDELIVERED_MS;
  const cancelled = entries?.total ? `${entries.cancelled} of ${entries.total} entries cancelled` : "no open entries";
  return { late: late || document.state === "not_delivered", delivered, confirmed, cancelled };
}

/** The bar under the top bar while a halt is asked for, under way or in force. */
export function HaltBar() {
  const document = halt.value;
  useEffect(() => {
    // While the broker has not confirmed, the bar must not depend on the socket.
    if (!document || document.state === "confirmed") return undefined;
    const timer = setInterval(async () => {
      const held = await get("/v1/halt").catch(() => undefined);
      if (held !== undefined) keep(held?.id ? held : null);
    }, POLL_MS);
    return () => clearInterval(timer);
  }, [document?.id, document?.state]);
  if (haltFailed.value && !document) return html`<${Failed} problem=${haltFailed.value} />`;
  if (!document && !halted.value) return null;
  if (!document)
    return html`<div class="strip halted" role="status"><b>TRADING IS HALTED</b> at the edge. <${Release} /></div>`;
  const { late, delivered, confirmed, cancelled } = steps(document, now.value);
  const kind = late ? "strip halted undelivered" : "strip halted";
  return html`<div class=${kind} role="status" data-halt=${document.state}>
    <b>${confirmed ? "TRADING IS HALTED" : late ? "HALT NOT DELIVERED" : delivered ? "HALTING" : "HALT SENT"}</b>
    <span>by ${document.by} at ${wallTime(document.requested_at)}</span>
    <ol class="halt-steps">
      <li class="done">asked</li>
      <li class=${delivered ? "done" : late ? "bad" : ""}>
        ${delivered ? `gate closed ${wallTime(delivered)}` : late ? "the edge has not answered for 5 s" : "gate"}
      </li>
      <li class=${confirmed ? "done" : ""}>${delivered || confirmed ? cancelled : "entries"}</li>
    </ol>
    ${
      late &&
      html`<span>
        It stays queued and is delivered first. Until then use the edge's own console on its machine: 127.0.0.1:8090.
        Paper trading has no dealing desk to call.
      </span>`
    }
    ${
      (confirmed || halted.value) &&
      html`<span>Stops stay. A trader or an admin may release it.</span> <${Release} document=${document} />`
    }
  </div>`;
}

const Failed = ({ problem }) =>
  html`<div class="strip halted undelivered" role="alert">
    <b>HALT NOT DELIVERED</b>
    <span>${problem.detail}</span>
    <span>Hold HALT again, or use the edge's own console on its machine: 127.0.0.1:8090.</span>
  </div>`;

function Release({ document }) {
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const release = async () => {
    setBusy(true);
    setProblem(null);
    try {
      await call("DELETE", "/v1/halt");
      say("Release of the halt was sent to the edge");
      await load("status");
    } catch (error) {
      setProblem(error instanceof Problem ? error : { detail: String(error) });
    }
    setBusy(false);
  };
  const { held, props } = useHold(release);
  if (!mayTrade.value) return null;
  const asked = document?.release_requested_at || busy;
  return html`
    <button type="button" class="release" data-held=${held} disabled=${Boolean(asked)} ...${props}>
      <span class="halt-fill" aria-hidden="true"></span>
      <span class="halt-word">${asked ? "Release sent" : "Hold to release"}</span>
    </button>
    ${problem && html`<span role="alert">${problem.detail} ${problem.mend}</span>`}
  `;
}
